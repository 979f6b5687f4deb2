import { OPEN, operatorRead } from '../../../agent/access/rules.ts';
import { IsthmusError } from '../../../lib/errors.ts';
import type { AgentParts } from '../agent-parts.ts';
import { readRoute } from '../read-route.ts';
import { EMPTY, jsonResponse, type Route } from '../route.ts';
import { writeRoute } from '../write-route.ts';
import type { CatalogRouteDeps } from './catalog.ts';
import { FILTER, filterArgs, required } from './list-args.ts';

/** What the UI and operators ask. */
export function internalRoutes(deps: CatalogRouteDeps & { readonly agent: AgentParts }): readonly Route[] {
  return [
    readRoute(deps, {
      path: '/v1/internal/ui/services',
      about: 'One line for each service: instances, checks, proxies.',
      acl: 'service:read',
      read: 'internal.uiServices',
      query: [FILTER],
      args: (_params, query) => filterArgs(query),
      meta: 'index',
    }),
    readRoute(deps, {
      path: '/v1/internal/ui/nodes',
      about: 'All nodes with their services and checks.',
      acl: 'node:read,service:read',
      read: 'internal.uiNodes',
      query: [FILTER],
      args: (_params, query) => filterArgs(query),
      meta: 'index',
    }),
    {
      method: 'GET',
      path: '/v1/internal/ui/service-topology/*service',
      about: 'Not offered: intentions and upstreams have endpoints of their own.',
      acl: 'none',
      rule: OPEN,
      query: [{ name: 'kind', about: 'Kind of the service; must be given.' }],
      handle({ params, query }) {
        required(params.service, 'Missing service name');
        required(query.get('kind'), 'Missing service kind');
        throw new IsthmusError('not_found', 'Service topology is not offered');
      },
    },
    writeRoute(deps, {
      method: 'PUT',
      path: '/v1/internal/replication/accept-source',
      about: 'Follow the primary although its store is older than what was applied here, or another one.',
      acl: 'operator:write',
      write: 'replication.acceptSource',
      query: [{ name: 'kind', about: 'What is replicated, as /v1/internal/replication names it.' }],
      args: ({ query }) => ({ kind: required(query.get('kind'), 'Missing kind') }),
      render: () => EMPTY,
    }),
    {
      method: 'GET',
      path: '/v1/internal/links',
      about: 'Links to other datacenters: state, round-trip time, last error.',
      acl: 'operator:read',
      rule: operatorRead,
      handle: () => jsonResponse(deps.agent.links()),
    },
  ];
}
