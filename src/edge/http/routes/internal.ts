import { OPEN, operatorRead, operatorWrite } from '../../../agent/access/rules.ts';
import { IsthmusError } from '../../../lib/errors.ts';
import { RESOURCES } from '../../../model/acl-rule-kinds.ts';
import type { Resource, Rights } from '../../../model/rights.ts';
import type { AgentParts } from '../agent-parts.ts';
import { asList, asString, asStruct, decodeBody } from '../decode.ts';
import { readRoute } from '../read-route.ts';
import { EMPTY, jsonResponse, type Route } from '../route.ts';
import { withWarnings } from '../warnings.ts';
import { writeRoute } from '../write-route.ts';
import type { CatalogRouteDeps } from './catalog.ts';
import { FILTER, filterArgs, required } from './list-args.ts';

/** What the UI and operators ask. */
export function internalRoutes(deps: CatalogRouteDeps & { readonly agent: AgentParts }): readonly Route[] {
  return [
    none('/v1/health/ingress/*service', 'Instances of gateways before a service: none, there are no gateways.'),
    none('/v1/catalog/gateway-services/*gateway', 'Services behind a gateway: none, there are no gateways.'),
    none('/v1/exported-services', 'None: there are no peers.'),
    none('/v1/imported-services', 'None: there are no peers.'),
    none('/v1/peerings', 'None: datacenters are federated, not peered.'),
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
    readRoute(deps, {
      path: '/v1/internal/ui/catalog-overview',
      about: 'How many nodes, instances and checks are in which state.',
      acl: 'node:read,service:read',
      read: 'internal.uiCatalogOverview',
      args: () => ({}),
      meta: 'index',
    }),
    readRoute(deps, {
      path: '/v1/internal/ui/node/*node',
      about: 'One node with its services and checks; null when there is none.',
      acl: 'node:read',
      read: 'internal.uiNodes',
      args: (params) => ({ filter: `Node == ${JSON.stringify(required(params.node, 'Missing node name'))}` }),
      meta: 'index',
      render: ({ value }) => jsonResponse((value as readonly unknown[])[0] ?? null),
    }),
    ...['exported-services', 'gateway-services-nodes/*gateway', 'gateway-intentions/*gateway'].map(
      (path): Route => none(`/v1/internal/ui/${path}`, 'None: there are no gateways and no peers.'),
    ),
    {
      method: 'POST',
      path: '/v1/internal/acl/authorize',
      about: 'Which of the questions in the body the token may do.',
      acl: 'none',
      rule: OPEN,
      handle: async (request) => {
        const questions = decodeBody(request, QUESTIONS) as readonly Question[];
        if (!Array.isArray(questions)) throw new IsthmusError('invalid_argument', 'the body is a list of questions');
        if (questions.length > MAX_QUESTIONS)
          throw new IsthmusError(
            'invalid_argument',
            `Refusing to process more than ${MAX_QUESTIONS} authorizations at once`,
          );
        const rights = await deps.agent.access.rights(request.token, request.signal);
        return jsonResponse(questions.map((question) => ({ ...question, Allow: allows(rights, question) })));
      },
    },
    {
      method: 'PUT',
      path: '/v1/internal/service-virtual-ip',
      about: 'No address is assigned: services have no virtual addresses.',
      acl: 'operator:write',
      rule: operatorWrite,
      handle: (request) => {
        decodeBody(request, VIRTUAL_IPS);
        const answer = jsonResponse({ Found: false, UnassignedFrom: [] });
        return withWarnings(answer, ['ManualVIPs has no effect: services have no virtual addresses']);
      },
    },
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

/** An empty list that looks like an answer of a server: clients block on its index. */
function none(path: string, about: string): Route {
  return {
    method: 'GET',
    path,
    about,
    acl: 'none',
    rule: OPEN,
    handle: () => ({ json: [], headers: { 'X-Consul-Index': '1', 'X-Consul-Knownleader': 'true' } }),
  };
}

interface Question {
  readonly Resource?: string;
  readonly Segment?: string;
  readonly Access?: string;
}

const MAX_QUESTIONS = 64;
const QUESTIONS = asList(
  asStruct(
    'structs.ACLAuthorizationRequest',
    { Resource: asString, Segment: asString, Access: asString },
    { unknown: 'refuse' },
  ),
  '[]structs.ACLAuthorizationRequest',
);
const VIRTUAL_IPS = asStruct('structs.AssignServiceManualVIPsRequest', {
  Service: asString,
  ManualVIPs: asList(asString),
});

/** Throws for a resource or access that is none. */
function allows(rights: Rights, { Resource = '', Segment = '', Access = '' }: Question): boolean {
  const resource = Resource as Resource;
  if (!RESOURCES.has(resource))
    throw new IsthmusError('invalid_argument', `Invalid ACL resource: ${JSON.stringify(Resource)}`);
  if (Access !== 'read' && Access !== 'write' && !(Access === 'list' && resource === 'key'))
    throw new IsthmusError('invalid_argument', `Invalid access level for ${resource}: ${JSON.stringify(Access)}`);
  return rights.may(resource, Segment, Access);
}
