import {
  agentRead,
  agentWrite,
  BY_PART,
  membersRead,
  OPEN,
  operatorWrite,
  type RouteRule,
} from '../../../agent/access/rules.ts';
import { IsthmusError } from '../../../lib/errors.ts';
import type { AgentParts, AuthorizeRequest, CachedAnswer, CachedReadOptions } from '../agent-parts.ts';
import { parseReadParameters, type QueryTimes } from '../consistency.ts';
import { asString, asStruct, decodeBody } from '../decode.ts';
import type { Query } from '../query.ts';
import {
  type AclRule,
  type ApiRequest,
  type ApiResponse,
  EMPTY,
  jsonResponse,
  type PreparedCall,
  type QueryParameter,
  type Route,
  textResponse,
} from '../route.ts';

export interface AgentRouteDeps {
  readonly agent: AgentParts;
  readonly datacenter: string;
  readonly queryTimes?: QueryTimes;
}

const BLOCKING: readonly QueryParameter[] = [
  { name: 'index', about: 'Wait until the answer is newer than this index.' },
  { name: 'wait', about: 'Longest wait, such as 30s; default 5m, at most 10m.' },
];

/** /v1/agent, but for services and checks. */
export function agentRoutes(deps: AgentRouteDeps): readonly Route[] {
  const { agent } = deps;
  return [
    {
      method: 'GET',
      path: '/v1/agent/self',
      about: 'Configuration, member and counters of the agent.',
      acl: 'agent:read',
      rule: agentRead,
      handle: async () => jsonResponse(await agent.self()),
    },
    {
      method: 'GET',
      path: '/v1/agent/members',
      about: 'Members that the agent knows.',
      acl: 'node:read',
      rule: membersRead,
      query: [
        { name: 'wan', about: 'The servers of all datacenters.' },
        { name: 'segment', about: 'Accepted; there are no network segments.' },
      ],
      handle: async (request) => {
        const { query, signal } = request;
        const segment = query.text('segment');
        const wan = query.text('wan') !== '';
        const asked = { wan, signal, ...tokenOf(request), ...(segment === '' ? undefined : { segment }) };
        return jsonResponse(await agent.members(asked));
      },
    },
    {
      method: 'GET',
      path: '/v1/agent/metrics',
      about: 'What the agent measures.',
      acl: 'agent:read',
      rule: agentRead,
      query: [{ name: 'format', about: 'prometheus for the text exposition format.' }],
      handle: async ({ query }) => {
        if (query.text('format') !== 'prometheus') return jsonResponse(await agent.metrics.json());
        const { text, contentType } = await agent.metrics.prometheus();
        return textResponse(200, text, contentType);
      },
    },
    {
      method: 'PUT',
      path: '/v1/agent/reload',
      about: 'Read the configuration again. The header X-Isthmus-Needs-Restart names changed keys that need a restart.',
      acl: 'agent:write',
      rule: agentWrite,
      handle: async () => {
        const keys = await agent.reload();
        return keys.length === 0 ? EMPTY : { headers: { 'X-Isthmus-Needs-Restart': keys.join(', ') } };
      },
    },
    action('PUT', '/v1/agent/leave', 'Leave the datacenter and stop.', () => agent.leave()),
    action(
      'PUT',
      '/v1/agent/join/*address',
      'Join another agent or, with ?wan, another datacenter.',
      ({ params, query }) => agent.join(params.address ?? '', { wan: query.text('wan') !== '' }),
      [{ name: 'wan', about: 'Join a server of another datacenter.' }],
    ),
    action(
      'PUT',
      '/v1/agent/force-leave/*node',
      'Remove a member that has failed.',
      (request) => {
        const { params, query, signal } = request;
        return agent.forceLeave(params.node ?? '', { prune: query.has('prune'), signal, ...tokenOf(request) });
      },
      [{ name: 'prune', about: 'Forget it altogether.' }],
      { acl: 'operator:write', rule: operatorWrite },
    ),
    {
      method: 'PUT',
      path: '/v1/agent/token/:kind',
      about:
        'Set one of the agent’s own tokens: default, agent, agent_recovery, replication, dns or ' +
        'config_file_service_registration.',
      acl: 'agent:write',
      rule: agentWrite,
      handle(request) {
        const { Token = '' } = decodeBody(request, OWN_TOKEN);
        agent.access.setToken(request.params.kind ?? '', Token);
        return EMPTY;
      },
    },
    heldRoute(deps, {
      path: '/v1/agent/connect/ca/roots',
      about: 'All root certificates to be trusted, from the agent’s cache.',
      acl: 'none',
      rule: OPEN,
      get: (_params, options) => agent.roots.get(options),
      // Consul's cache forgets who led and how old the answer was.
      headers: { 'X-Consul-Knownleader': 'false', 'X-Consul-Lastcontact': '0' },
    }),
    heldRoute(deps, {
      path: '/v1/agent/connect/ca/leaf/*service',
      about: 'Certificate and private key of a service on this node; renewed before it expires.',
      acl: 'service:write',
      rule: BY_PART,
      get: async ({ service }, options) => {
        if (service === undefined || service === '')
          throw new IsthmusError('rejected', 'URI must be either service or agent');
        return agent.leaves.get(service, options);
      },
    }),
    {
      method: 'POST',
      path: '/v1/agent/connect/authorize',
      about: 'Whether a client certificate may connect to a service of this node.',
      acl: 'service:write',
      rule: BY_PART,
      handle: async (request) => {
        const { Target, ClientCertURI, ClientCertSerial, ClientCertChain } = decodeBody(
          request,
          AUTHORIZE,
          'Bad request: Request decode failed: ',
        );
        const question: AuthorizeRequest = {
          Target: Target ?? '',
          ClientCertURI: ClientCertURI ?? '',
          ClientCertSerial: ClientCertSerial ?? '',
          ...(ClientCertChain === undefined ? {} : { ClientCertChain }),
        };
        const answer = await agent.authorize(question, { signal: request.signal, ...tokenOf(request) });
        return { headers: cacheHeaders(answer), json: answer.value };
      },
    },
  ];
}

const OWN_TOKEN = asStruct('api.AgentToken', { Token: asString });

const AUTHORIZE = asStruct(
  'structs.ConnectAuthorizeRequest',
  { Target: asString, ClientCertURI: asString, ClientCertSerial: asString, ClientCertChain: asString },
  { unknown: 'refuse' },
);

function action(
  method: 'PUT',
  path: string,
  about: string,
  run: (request: ApiRequest) => Promise<void>,
  query: readonly QueryParameter[] = [],
  decided: Pick<Route, 'acl' | 'rule'> = { acl: 'agent:write', rule: agentWrite },
): Route {
  return {
    method,
    path,
    about,
    ...decided,
    query,
    handle: async (request) => {
      await run(request);
      return EMPTY;
    },
  };
}

function tokenOf(request: ApiRequest): { readonly token?: string } {
  return request.token === undefined ? {} : { token: request.token };
}

interface HeldRouteSpec {
  readonly path: string;
  readonly about: string;
  readonly acl: AclRule;
  readonly rule: RouteRule;
  /** May throw an IsthmusError. */
  get(params: Readonly<Record<string, string>>, options: CachedReadOptions): Promise<CachedAnswer<unknown>>;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A GET of something that the agent holds and that can be blocked on. */
function heldRoute({ datacenter, queryTimes }: AgentRouteDeps, spec: HeldRouteSpec): Route {
  const prepare = (params: Readonly<Record<string, string>>, query: Query): PreparedCall => {
    const { index, waitMs } = parseReadParameters(query, datacenter, queryTimes);
    return {
      waits: index !== undefined,
      async run(token, signal) {
        const options: CachedReadOptions = {
          signal,
          ...(token === undefined ? undefined : { token }),
          ...(index === undefined ? undefined : { index }),
          ...(waitMs === undefined ? undefined : { waitMs }),
        };
        return cachedResponse(await spec.get(params, options), spec.headers);
      },
    };
  };
  return {
    method: 'GET',
    path: spec.path,
    about: spec.about,
    acl: spec.acl,
    rule: spec.rule,
    query: BLOCKING,
    prepare,
    handle: (request) => prepare(request.params, request.query).run(request.token, request.signal),
  };
}

function cachedResponse(answer: CachedAnswer<unknown>, headers: Readonly<Record<string, string>> = {}): ApiResponse {
  return {
    headers: { ...cacheHeaders(answer), 'X-Consul-Index': String(Math.max(1, answer.index)), ...headers },
    json: answer.value,
  };
}

/** Age in whole seconds, only shown when the answer was at hand. */
function cacheHeaders(answer: CachedAnswer<unknown>): Record<string, string> {
  if (!answer.cacheHit) return { 'X-Cache': 'MISS' };
  return { 'X-Cache': 'HIT', Age: String(Math.max(0, Math.floor(answer.ageMs / 1_000))) };
}
