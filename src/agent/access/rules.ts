import type { Rights } from '../../model/rights.ts';
import type { LocalState } from '../local/types.ts';
import { denied } from './denied.ts';

/** What a token must grant, as the documentation of the API names it. */
export interface AgentRule {
  /** Throws when the request is refused. */
  check?(rights: Rights, asked: Asked, facts: AgentFacts): void;
  /** The answer as this token may see it. */
  show?(rights: Rights, json: unknown, facts: AgentFacts): unknown;
}

export interface Asked {
  /** Decoded values of the path's parts. */
  readonly params: Readonly<Record<string, string>>;
}

/** What rules know of the agent. */
export interface AgentFacts {
  readonly local: Pick<LocalState, 'serviceForm' | 'checks'>;
  readonly nodeName: string;
}

/** The servers decide: the request goes to them with its token. */
export const BY_SERVERS = 'servers';
/** The part of the agent that answers asks for the right itself, once it knows what the request is about. */
export const BY_PART = 'part';
/** Whoever reaches the agent may ask this. */
export const OPEN = 'open';

/** Who decides whether a request is answered. Every route names it: a route without it does not compile. */
export type RouteRule = AgentRule | typeof BY_SERVERS | typeof BY_PART | typeof OPEN;

export const agentRead: AgentRule = {
  check(rights, _asked, { nodeName }) {
    if (!rights.may('agent', nodeName, 'read')) throw denied();
  },
};

export const agentWrite: AgentRule = {
  check(rights, _asked, { nodeName }) {
    if (!rights.may('agent', nodeName, 'write')) throw denied();
  },
};

export const nodeWrite: AgentRule = {
  check(rights, _asked, { nodeName }) {
    if (!rights.may('node', nodeName, 'write')) throw denied();
  },
};

export const operatorRead: AgentRule = {
  check(rights) {
    if (!rights.may('operator', '', 'read')) throw denied();
  },
};

export const aclRead: AgentRule = {
  check(rights) {
    if (!rights.may('acl', '', 'read')) throw denied();
  },
};

export const operatorWrite: AgentRule = {
  check(rights) {
    if (!rights.may('operator', '', 'write')) throw denied();
  },
};

/** The service with the ID `id`. */
export const serviceRead: AgentRule = {
  check(rights, { params }, { local }) {
    const service = local.serviceForm(params.id ?? '')?.Service;
    if (service !== undefined && !rights.may('service', service, 'read')) throw denied();
  },
};

/** The services with the name `name`. */
export const servicesNamed: AgentRule = {
  check(rights, { params }) {
    if (!rights.may('service', params.name ?? '', 'read')) throw denied();
  },
};

/** The service with the ID `id`. */
export const serviceWrite: AgentRule = {
  check: (rights, { params }, { local }) => requireService(rights, local, params.id ?? ''),
};

/** The check with the ID `id`. */
export const checkWrite: AgentRule = {
  check: (rights, { params }, facts) => requireCheck(rights, facts, params.id ?? ''),
};

/** Members whose node may be read. */
export const membersRead: AgentRule = {
  show: (rights, json) =>
    (json as readonly { readonly Name: string }[]).filter(({ Name }) => rights.may('node', Name, 'read')),
};

/** Services of the agent that may be read, by ID. */
export const servicesRead: AgentRule = {
  show: (rights, json) =>
    pick(json as Readonly<Record<string, { readonly Service: string }>>, ({ Service }) =>
      rights.may('service', Service, 'read'),
    ),
};

/** Checks of the agent that may be read, by ID. */
export const checksRead: AgentRule = {
  show: (rights, json, { nodeName }) =>
    pick(json as Readonly<Record<string, { readonly ServiceName: string }>>, ({ ServiceName }) =>
      ServiceName === '' ? rights.may('node', nodeName, 'read') : rights.may('service', ServiceName, 'read'),
    ),
};

export function requireService(rights: Rights, local: AgentFacts['local'], id: string): void {
  const service = local.serviceForm(id)?.Service;
  if (service !== undefined && !rights.may('service', service, 'write')) throw denied(`service:write on ${service}`);
}

export function requireCheck(rights: Rights, { local, nodeName }: AgentFacts, id: string): void {
  const check = local.checks().find(({ CheckID }) => CheckID === id);
  if (check === undefined) return;
  if (check.ServiceName === '') {
    if (!rights.may('node', nodeName, 'write')) throw denied(`node:write on ${nodeName}`);
  } else if (!rights.may('service', check.ServiceName, 'write')) throw denied(`service:write on ${check.ServiceName}`);
}

function pick<T>(record: Readonly<Record<string, T>>, sees: (value: T) => boolean): Readonly<Record<string, T>> {
  return Object.fromEntries(Object.entries(record).filter(([, value]) => sees(value)));
}

/** Of the Envoys, those of services that the token may read. */
export const envoysSeen: AgentRule = {
  show: (rights, json) =>
    (json as readonly { readonly Service: string }[]).filter(({ Service }) => rights.may('service', Service, 'read')),
};
