import type { CoordinateUpdate } from '../../../model/coordinate.ts';
import { asFloat, asList, asString, asStruct, decodeBody } from '../decode.ts';
import type { Query } from '../query.ts';
import { type ReadRouteDeps, readRoute } from '../read-route.ts';
import { EMPTY, type QueryParameter, type Route } from '../route.ts';
import { writeRoute } from '../write-route.ts';

const SEGMENT: QueryParameter = { name: 'segment', about: 'Network segment; default all of them.' };

/** /v1/coordinate */
export function coordinateRoutes(deps: ReadRouteDeps): readonly Route[] {
  return [
    readRoute(deps, {
      path: '/v1/coordinate/datacenters',
      about: 'Network coordinates of the servers by datacenter, as the server that answers measured them.',
      acl: 'none',
      read: 'coordinate.datacenters',
      args: () => ({}),
      meta: 'none',
    }),
    readRoute(deps, {
      path: '/v1/coordinate/nodes',
      about: 'Network coordinates of the nodes within the datacenter.',
      acl: 'node:read',
      read: 'coordinate.nodes',
      query: [SEGMENT],
      args: (_params, query) => segmentOf(query),
      meta: 'index',
    }),
    readRoute(deps, {
      path: '/v1/coordinate/node/:node',
      about: 'Network coordinate of a node within the datacenter; 404 when none is known.',
      acl: 'node:read',
      read: 'coordinate.node',
      query: [SEGMENT],
      args: (params, query) => ({ node: params.node ?? '', ...segmentOf(query) }),
      meta: 'index',
      render: ({ value }) => (value.length === 0 ? { status: 404 } : undefined),
    }),
    writeRoute(deps, {
      method: 'PUT',
      path: '/v1/coordinate/update',
      about: 'Set the network coordinate of a node; for an unknown node it is ignored.',
      acl: 'node:write',
      write: 'coordinate.update',
      args: (request) => decodeBody(request, UPDATE) as CoordinateUpdate,
      render: () => EMPTY,
    }),
  ];
}

function segmentOf(query: Query): { readonly segment?: string } {
  return query.has('segment') ? { segment: query.text('segment') } : {};
}

const UPDATE = asStruct('structs.CoordinateUpdateRequest', {
  Datacenter: asString,
  Node: asString,
  Segment: asString,
  Coord: asStruct('coordinate.Coordinate', {
    Vec: asList(asFloat, '[]float64'),
    Error: asFloat,
    Adjustment: asFloat,
    Height: asFloat,
  }),
});
