import type { LocalState, RegisterOptions } from '../../agent/local/types.ts';
import { IsthmusError } from '../../lib/errors.ts';
import type { ServiceDefinition } from '../../model/registration/definitions.ts';
import type { Rights } from '../../model/rights.ts';
import type { AgentAccess } from './agent-parts.ts';
import type { ApiRequest, ApiResponse, Route } from './route.ts';

/** Access control of the agent's own endpoints: what lies behind the server contract is decided there. */

export interface AgentAccessDeps {
  readonly access: AgentAccess;
  readonly local: LocalState;
  readonly nodeName: string;
}

interface Rule {
  /** Throws when the request is refused. */
  check?(rights: Rights, request: ApiRequest, deps: AgentAccessDeps): void;
  /** The answer as this token may see it. */
  show?(rights: Rights, json: unknown, deps: AgentAccessDeps): unknown;
}

/** The text by which the peer refuses; with a reason, where it gives one. */
export function denied(missing?: string): IsthmusError {
  return new IsthmusError(
    'permission_denied',
    missing === undefined ? 'Permission denied' : `Permission denied: Missing ${missing}`,
  );
}

const agentRead: Rule = {
  check(rights, _request, { nodeName }) {
    if (!rights.may('agent', nodeName, 'read')) throw denied();
  },
};
const agentWrite: Rule = {
  check(rights, _request, { nodeName }) {
    if (!rights.may('agent', nodeName, 'write')) throw denied();
  },
};
const operatorRead: Rule = {
  check(rights) {
    if (!rights.may('operator', '', 'read')) throw denied();
  },
};
const operatorWrite: Rule = {
  check(rights) {
    if (!rights.may('operator', '', 'write')) throw denied();
  },
};

const writesService: Rule = {
  check: (rights, { params }, { local }) => requireService(rights, local, params.id ?? ''),
};
const writesCheck: Rule = {
  check: (rights, { params }, deps) => requireCheck(rights, deps, params.id ?? ''),
};

const RULES: Readonly<Record<string, Rule>> = {
  'GET /v1/agent/self': agentRead,
  'GET /v1/agent/host': operatorRead,
  'GET /v1/agent/metrics': agentRead,
  'GET /v1/agent/monitor': agentRead,
  'GET /v1/agent/members': {
    show: (rights, json) =>
      (json as readonly { readonly Name: string }[]).filter(({ Name }) => rights.may('node', Name, 'read')),
  },
  'PUT /v1/agent/reload': agentWrite,
  'PUT /v1/agent/leave': agentWrite,
  'PUT /v1/agent/join/*address': agentWrite,
  'PUT /v1/agent/force-leave/*node': operatorWrite,
  'PUT /v1/agent/token/:kind': agentWrite,
  'GET /v1/agent/services': {
    show: (rights, json) =>
      pick(json as Readonly<Record<string, { readonly Service: string }>>, ({ Service }) =>
        rights.may('service', Service, 'read'),
      ),
  },
  'GET /v1/agent/checks': {
    show: (rights, json, { nodeName }) =>
      pick(json as Readonly<Record<string, { readonly ServiceName: string }>>, ({ ServiceName }) =>
        ServiceName === '' ? rights.may('node', nodeName, 'read') : rights.may('service', ServiceName, 'read'),
      ),
  },
  'GET /v1/agent/service/*id': {
    check(rights, { params }, { local }) {
      const service = local.serviceForm(params.id ?? '')?.Service;
      if (service !== undefined && !rights.may('service', service, 'read')) throw denied();
    },
  },
  'GET /v1/agent/health/service/id/*id': {
    check(rights, { params }, { local }) {
      const service = local.serviceForm(params.id ?? '')?.Service;
      if (service !== undefined && !rights.may('service', service, 'read')) throw denied();
    },
  },
  'GET /v1/agent/health/service/name/*name': {
    check(rights, { params }) {
      if (!rights.may('service', params.name ?? '', 'read')) throw denied();
    },
  },
  'PUT /v1/agent/service/deregister/*id': writesService,
  'PUT /v1/agent/service/maintenance/*id': writesService,
  'PUT /v1/agent/maintenance': {
    check(rights, _request, { nodeName }) {
      if (!rights.may('node', nodeName, 'write')) throw denied();
    },
  },
  'PUT /v1/agent/check/deregister/*id': writesCheck,
  'PUT /v1/agent/check/update/*id': writesCheck,
  'PUT /v1/agent/check/pass/*id': writesCheck,
  'PUT /v1/agent/check/warn/*id': writesCheck,
  'PUT /v1/agent/check/fail/*id': writesCheck,
  'GET /v1/internal/links': operatorRead,
};

/** The routes, with those of the agent asking for rights first. */
export function guardAgentRoutes(routes: readonly Route[], deps: AgentAccessDeps): readonly Route[] {
  return routes.map((route) => {
    const rule = RULES[`${route.method} ${route.path}`];
    if (rule === undefined) return route;
    const { prepare: _unguarded, ...rest } = route; // a prepared call would go past the check
    return { ...rest, handle: (request) => guarded(route, rule, request, deps) };
  });
}

async function guarded(route: Route, rule: Rule, request: ApiRequest, deps: AgentAccessDeps): Promise<ApiResponse> {
  const rights = await deps.access.rights(request.token, request.signal);
  if (rights.everything) return route.handle(request);
  rule.check?.(rights, request, deps);
  const answer = await route.handle(request);
  return rule.show === undefined || answer.json === undefined
    ? answer
    : { ...answer, json: rule.show(rights, answer.json, deps) };
}

/** Registrations ask for the right to every service that they name. */
export function guardLocal(local: LocalState, access: AgentAccess, nodeName: string): LocalState {
  const never = new AbortController().signal;
  const rightsOf = ({ token }: RegisterOptions = {}): Promise<Rights> => access.rights(token, never);
  return {
    ...local,
    get synced() {
      return local.synced;
    },
    async registerService(definition, options) {
      const rights = await rightsOf(options);
      if (!rights.everything) {
        for (const service of servicesOf(definition))
          if (!rights.may('service', service, 'write')) throw denied(`service:write on ${service}`);
        requireService(rights, local, definition.ID || definition.Name || '');
      }
      await local.registerService(definition, options);
    },
    async registerCheck(definition, options) {
      const rights = await rightsOf(options);
      if (!rights.everything) {
        const { ServiceID } = definition;
        if (ServiceID) requireService(rights, local, ServiceID);
        else if (!rights.may('node', nodeName, 'write')) throw denied(`node:write on ${nodeName}`);
        requireCheck(rights, { access, local, nodeName }, definition.ID || definition.Name || '');
      }
      await local.registerCheck(definition, options);
    },
  };
}

/** Its own name, that of the service it is a proxy for, and those of its sidecar. */
function servicesOf(definition: ServiceDefinition): readonly string[] {
  const sidecar = definition.Connect?.SidecarService;
  const own = definition.Name ?? '';
  const names = [own, definition.Proxy?.DestinationServiceName];
  if (sidecar !== undefined && sidecar !== null) names.push(sidecar.Name || `${own}-sidecar-proxy`);
  return names.filter((name): name is string => name !== undefined && name !== '');
}

function requireService(rights: Rights, local: LocalState, id: string): void {
  const service = local.serviceForm(id)?.Service;
  if (service !== undefined && !rights.may('service', service, 'write')) throw denied(`service:write on ${service}`);
}

function requireCheck(rights: Rights, { local, nodeName }: AgentAccessDeps, id: string): void {
  const check = local.checks().find(({ CheckID }) => CheckID === id);
  if (check === undefined) return;
  if (check.ServiceName === '') {
    if (!rights.may('node', nodeName, 'write')) throw denied(`node:write on ${nodeName}`);
  } else if (!rights.may('service', check.ServiceName, 'write')) throw denied(`service:write on ${check.ServiceName}`);
}

function pick<T>(record: Readonly<Record<string, T>>, sees: (value: T) => boolean): Readonly<Record<string, T>> {
  return Object.fromEntries(Object.entries(record).filter(([, value]) => sees(value)));
}
