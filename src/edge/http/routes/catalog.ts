import type { DeregisterRequest, RegisterRequest } from '../../../model/catalog.ts';
import { LOCALITY, NODE_SERVICE } from '../../../model/registration/fields.ts';
import { registrationWarnings } from '../../../model/registration/without-effect.ts';
import { asAny, asBool, asInt, asList, asMap, asString, asStruct, type Decoder, decodeBody } from '../decode.ts';
import { type ReadRouteDeps, readRoute } from '../read-route.ts';
import { jsonResponse, type Route } from '../route.ts';
import {
  translateCatalogServices,
  translateNodeServices,
  translateNodes,
  translateNodeWithServices,
} from '../translate.ts';
import { withWarnings } from '../warnings.ts';
import { writeRoute } from '../write-route.ts';
import {
  FILTER,
  filterArgs,
  LIST_PARAMETERS,
  listArgs,
  NODE_META,
  required,
  serviceArgs,
  TAG_PARAMETER,
  unsortedArgs,
} from './list-args.ts';

export interface CatalogRouteDeps extends ReadRouteDeps {
  /** The agent's own node. */
  readonly nodeName: string;
}

/** /v1/catalog */
export function catalogRoutes(deps: CatalogRouteDeps): readonly Route[] {
  const { nodeName } = deps;
  return [
    writeRoute(deps, {
      method: 'PUT',
      path: '/v1/catalog/register',
      about: 'Write a node with a service and checks straight into the catalog.',
      acl: 'node:write',
      write: 'catalog.register',
      args: (request) => decodeBody(request, REGISTER) as RegisterRequest,
      render: (done, { Service }) => withWarnings(jsonResponse(done), registrationWarnings(Service)),
    }),
    writeRoute(deps, {
      method: 'PUT',
      path: '/v1/catalog/deregister',
      about: 'Remove a node, or one service or check of it, from the catalog.',
      acl: 'node:write',
      write: 'catalog.deregister',
      args: (request) => decodeBody(request, DEREGISTER) as DeregisterRequest,
    }),
    readRoute(deps, {
      path: '/v1/catalog/datacenters',
      about: 'Known datacenters, nearest first.',
      acl: 'none',
      read: 'catalog.datacenters',
      args: () => ({}),
      meta: 'none',
      cached: true,
    }),
    readRoute(deps, {
      path: '/v1/catalog/nodes',
      about: 'All nodes of a datacenter.',
      acl: 'node:read',
      read: 'catalog.nodes',
      translate: translateNodes,
      query: LIST_PARAMETERS,
      args: (_params, query) => listArgs(query, nodeName),
      meta: 'consistency',
      metaOnError: true,
    }),
    readRoute(deps, {
      path: '/v1/catalog/services',
      about: 'Names of all services of a datacenter, each with its tags.',
      acl: 'service:read',
      read: 'catalog.services',
      query: [
        { name: 'filter', about: 'Expression that an instance must fulfil for its service and tags to be listed.' },
        NODE_META,
      ],
      args: (_params, query) => unsortedArgs(query),
      meta: 'consistency',
      metaOnError: true,
      cached: true,
    }),
    readRoute(deps, {
      path: '/v1/catalog/service/*service',
      about: 'Instances of a service, in the flat form.',
      acl: 'node:read,service:read',
      read: 'catalog.service',
      translate: translateCatalogServices,
      query: [...LIST_PARAMETERS, TAG_PARAMETER],
      args: (params, query) => serviceArgs(params.service ?? '', query, nodeName),
      meta: 'consistency',
      metaOnError: true,
      cached: true,
    }),
    readRoute(deps, {
      path: '/v1/catalog/connect/*service',
      about: 'Instances that accept mesh connections for a service, in the flat form.',
      acl: 'node:read,service:read',
      read: 'catalog.service',
      translate: translateCatalogServices,
      query: [...LIST_PARAMETERS, TAG_PARAMETER],
      args: (params, query) => ({ ...serviceArgs(params.service ?? '', query, nodeName), connect: true }),
      meta: 'consistency',
      metaOnError: true,
      cached: true,
    }),
    readRoute(deps, {
      path: '/v1/catalog/node/*node',
      about: 'A node with its services by ID; null when there is none.',
      acl: 'node:read,service:read',
      read: 'catalog.node',
      translate: translateNodeWithServices,
      query: [FILTER],
      args: (params, query) => ({ node: required(params.node, 'Missing node name'), ...filterArgs(query) }),
      meta: 'consistency',
      metaOnError: true,
    }),
    readRoute(deps, {
      path: '/v1/catalog/node-services/*node',
      about: 'A node with the list of its services; null when there is none.',
      acl: 'node:read,service:read',
      read: 'catalog.nodeServices',
      translate: translateNodeServices,
      query: [FILTER],
      args: (params, query) => ({ node: required(params.node, 'Missing node name'), ...filterArgs(query) }),
      meta: 'consistency',
      metaOnError: true,
    }),
  ];
}

export const STRING_MAP = asMap(asString);
const OBJECT: Decoder<Readonly<Record<string, unknown>>> = asMap(asAny, 'map[string]interface {}');

export const CHECK = asStruct('structs.HealthCheck', {
  Node: asString,
  CheckID: asString,
  Name: asString,
  Status: asString,
  Notes: asString,
  Output: asString,
  ServiceID: asString,
  ServiceName: asString,
  ServiceTags: asList(asString),
  Type: asString,
  ExposedPort: asInt,
  Definition: OBJECT,
  CreateIndex: asInt,
  ModifyIndex: asInt,
});

const REGISTER = asStruct('structs.RegisterRequest', {
  Datacenter: asString,
  ID: asString,
  Node: asString,
  Address: asString,
  TaggedAddresses: STRING_MAP,
  NodeMeta: STRING_MAP,
  Service: NODE_SERVICE,
  Check: CHECK,
  Checks: asList(CHECK, 'structs.HealthChecks'),
  SkipNodeUpdate: asBool,
  Locality: LOCALITY,
});

const DEREGISTER = asStruct('structs.DeregisterRequest', {
  Datacenter: asString,
  Node: asString,
  Address: asString,
  ServiceID: asString,
  CheckID: asString,
});
