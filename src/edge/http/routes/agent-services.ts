import {
  BY_PART,
  nodeWrite,
  serviceRead,
  servicesNamed,
  servicesRead,
  serviceWrite,
} from '../../../agent/access/rules.ts';
import type { ServiceHealth } from '../../../agent/local/forms.ts';
import type { LocalState } from '../../../agent/local/types.ts';
import { IsthmusError } from '../../../lib/errors.ts';
import { agentServiceFilter } from '../../../model/filter/schemas.ts';
import { serviceDefinition } from '../../../model/registration/definitions.ts';
import { definitionWarnings } from '../../../model/registration/service-rules.ts';
import { parseFlag, parseReadParameters } from '../consistency.ts';
import { decodeBody } from '../decode.ts';
import type { Query } from '../query.ts';
import {
  type ApiRequest,
  type ApiResponse,
  EMPTY,
  jsonResponse,
  type QueryParameter,
  type Route,
  textResponse,
} from '../route.ts';
import { withWarnings } from '../warnings.ts';

export interface AgentServiceRouteDeps {
  readonly local: LocalState;
  readonly datacenter: string;
}

/** Longest wait for a service to change, milliseconds; also the default. */
const MAX_WAIT_MS = 600_000;

const FILTER: QueryParameter = { name: 'filter', about: 'Only those that match the expression.' };
const FORMAT: QueryParameter = { name: 'format', about: 'text answers with the status alone.' };
const MAINTENANCE: readonly QueryParameter[] = [
  { name: 'enable', about: 'true or false; required.' },
  { name: 'reason', about: 'Shown in the notes of the check.' },
];

/** /v1/agent/services, /v1/agent/service, /v1/agent/health/service and /v1/agent/maintenance */
export function agentServiceRoutes({ local, datacenter }: AgentServiceRouteDeps): readonly Route[] {
  return [
    {
      method: 'GET',
      path: '/v1/agent/services',
      about: 'Services registered with this agent, by ID.',
      acl: 'service:read',
      rule: servicesRead,
      query: [FILTER],
      handle: ({ query }) => {
        const kept = agentServiceFilter.apply(query.get('filter'), local.services()) as ReturnType<
          LocalState['services']
        >;
        return jsonResponse(Object.fromEntries(kept.map((service) => [service.ID, service])));
      },
    },
    {
      method: 'GET',
      path: '/v1/agent/service/*id',
      about: 'One service registered with this agent, with the hash of its content.',
      acl: 'service:read',
      rule: serviceRead,
      query: [
        { name: 'hash', about: 'Wait until the content’s hash is another.' },
        { name: 'wait', about: 'Longest wait, such as 30s; default and at most 10m.' },
      ],
      handle: async ({ params, query, signal }) => {
        const { waitMs } = parseReadParameters(query, datacenter);
        const hash = query.text('hash');
        const id = params.id ?? '';
        if (hash === '') return jsonResponse(local.service(id));
        return jsonResponse(await local.waitService(id, hash, Math.min(waitMs ?? MAX_WAIT_MS, MAX_WAIT_MS), signal));
      },
    },
    {
      method: 'PUT',
      path: '/v1/agent/service/register',
      about: 'Register a service with this agent, with its checks and its sidecar.',
      acl: 'service:write',
      rule: BY_PART,
      query: [{ name: 'replace-existing-checks', about: 'Remove checks of the service that are not in the request.' }],
      handle: async (request) => {
        const definition = decodeBody(request, serviceDefinition);
        await local.registerService(definition, {
          ...tokenOf(request),
          replaceExistingChecks: isSet(request.query, 'replace-existing-checks'),
        });
        return withWarnings(EMPTY, definitionWarnings(definition));
      },
    },
    {
      method: 'PUT',
      path: '/v1/agent/service/deregister/*id',
      about: 'Remove a service from this agent, with its checks and its sidecar.',
      acl: 'service:write',
      rule: serviceWrite,
      handle: async ({ params }) => {
        await local.deregisterService(params.id ?? '');
        return EMPTY;
      },
    },
    {
      method: 'PUT',
      path: '/v1/agent/service/maintenance/*id',
      about: 'Take a service out of use, or back.',
      acl: 'service:write',
      rule: serviceWrite,
      query: MAINTENANCE,
      handle: async (request) => {
        const id = request.params.id ?? '';
        if (id === '') throw new IsthmusError('invalid_argument', 'Missing service ID');
        const enable = enableOf(request.query);
        await local.setServiceMaintenance(id, enable, request.query.text('reason'), tokenOf(request));
        return EMPTY;
      },
    },
    {
      method: 'PUT',
      path: '/v1/agent/maintenance',
      about: 'Take the whole node out of use, or back.',
      acl: 'node:write',
      rule: nodeWrite,
      query: MAINTENANCE,
      handle: async (request) => {
        const enable = enableOf(request.query);
        await local.setNodeMaintenance(enable, request.query.text('reason'), tokenOf(request));
        return EMPTY;
      },
    },
    {
      method: 'GET',
      path: '/v1/agent/health/service/id/*id',
      about: 'Health of one service of this agent; the HTTP status shows it too: 200, 429, 503, 404.',
      acl: 'service:read',
      rule: serviceRead,
      query: [FORMAT],
      handle: ({ params, query }) => {
        const id = params.id ?? '';
        if (id === '') throw new IsthmusError('invalid_argument', 'Missing serviceID');
        const health = local.healthById(id);
        if (health !== undefined) return healthResponse(query, [health], health);
        const absent = { AggregatedStatus: 'critical', Service: null, Checks: null };
        return isText(query) ? plain(404, `ServiceId ${id} not found`) : jsonResponse(absent, 404);
      },
    },
    {
      method: 'GET',
      path: '/v1/agent/health/service/name/*name',
      about: 'Health of all instances of a service on this agent; the status is that of the worst.',
      acl: 'service:read',
      rule: servicesNamed,
      query: [FORMAT],
      handle: ({ params, query }) => {
        const name = params.name ?? '';
        if (name === '') throw new IsthmusError('invalid_argument', 'Missing service Name');
        const health = local.healthByName(name);
        if (health.length > 0) return healthResponse(query, health, health);
        return isText(query) ? plain(404, `ServiceName ${name} Not Found`) : jsonResponse([], 404);
      },
    },
  ];
}

const HEALTH_STATUS = { passing: 200, warning: 429, critical: 503, maintenance: 503 };

function healthResponse(query: Query, all: readonly ServiceHealth[], body: unknown): ApiResponse {
  let worst = all[0] as ServiceHealth;
  for (const health of all)
    if (HEALTH_STATUS[health.AggregatedStatus] > HEALTH_STATUS[worst.AggregatedStatus]) worst = health;
  const status = HEALTH_STATUS[worst.AggregatedStatus];
  return isText(query) ? plain(status, worst.AggregatedStatus) : jsonResponse(body, status);
}

function isText(query: Query): boolean {
  return query.text('format') === 'text';
}

function plain(status: number, text: string): ApiResponse {
  return textResponse(status, text, 'text/plain');
}

function enableOf(query: Query): boolean {
  const text = query.get('enable');
  if (text === undefined) throw new IsthmusError('invalid_argument', 'Missing value for enable');
  const enable = text === '' ? undefined : parseFlag(text);
  if (enable === undefined)
    throw new IsthmusError('invalid_argument', `Invalid value for enable: ${JSON.stringify(text)}`);
  return enable;
}

function isSet(query: Query, name: string): boolean {
  return query.has(name) && parseFlag(query.text(name)) === true;
}

function tokenOf(request: ApiRequest): { readonly token?: string } {
  return request.token === undefined ? {} : { token: request.token };
}
