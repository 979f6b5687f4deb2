import type { LeafCert } from '../model/ca.ts';
import type { HealthCheck, NodeService } from '../model/catalog.ts';
import type { EnvoyStatus } from '../model/envoy.ts';
import type { Member } from '../model/member.ts';
import type { Answer, CallOptions } from './options.ts';
import type { Transport } from './transport.ts';

/** Where an agent serves xDS; -1 is a port that is off. */
export interface XdsPorts {
  readonly Plaintext: number;
  readonly TLS: number;
}

/** GET /v1/agent/self, as far as it has a fixed shape. */
export interface AgentSelf {
  readonly Config: {
    readonly Datacenter: string;
    readonly NodeName: string;
    readonly NodeID: string;
    readonly Revision: string;
    readonly Server: boolean;
    readonly Version: string;
  };
  readonly Member: Member;
  readonly Stats: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly Meta: Readonly<Record<string, string>>;
  /** Absent in answers of older agents. */
  readonly xDS?: { readonly Ports?: XdsPorts };
}

export type AgentService = Omit<NodeService, 'CreateIndex' | 'ModifyIndex'> & { readonly Datacenter: string };
export type CheckOutcome = 'passing' | 'warning' | 'critical';

export interface AgentApi {
  /** The newest lines of the agent's log. */
  recentLog(level: string, call?: CallOptions): Promise<string>;
  /** The agent's log as it is written; the caller ends it by aborting the call's signal. */
  monitor(level: string, call?: CallOptions): Promise<AsyncIterable<Uint8Array>>;
  self(call?: CallOptions): Promise<AgentSelf>;
  /** `segment` is sent as Consul's tools do; it changes nothing. */
  members(
    query?: { readonly wan?: boolean; readonly segment?: string },
    call?: CallOptions,
  ): Promise<readonly Member[]>;
  /** Resolves with the changed keys that need a restart. */
  reload(call?: CallOptions): Promise<readonly string[]>;
  leave(call?: CallOptions): Promise<void>;
  join(address: string, wan?: boolean, call?: CallOptions): Promise<void>;
  forceLeave(node: string, prune?: boolean, call?: CallOptions): Promise<void>;
  services(call?: CallOptions): Promise<Readonly<Record<string, AgentService>>>;
  service(id: string, call?: CallOptions): Promise<AgentService>;
  checks(call?: CallOptions): Promise<Readonly<Record<string, HealthCheck>>>;
  registerService(definition: Readonly<Record<string, unknown>>, call?: CallOptions): Promise<void>;
  deregisterService(id: string, call?: CallOptions): Promise<void>;
  registerCheck(definition: Readonly<Record<string, unknown>>, call?: CallOptions): Promise<void>;
  deregisterCheck(id: string, call?: CallOptions): Promise<void>;
  updateCheck(id: string, status: CheckOutcome, output?: string, call?: CallOptions): Promise<void>;
  /** The Envoys that follow the agent. */
  envoys(call?: CallOptions): Promise<readonly EnvoyStatus[]>;
  leaf(service: string, call?: CallOptions): Promise<Answer<LeafCert>>;
  /** Decides about a connection of `clientUri` to `target`. */
  authorize(
    request: {
      readonly Target: string;
      readonly ClientCertURI: string;
      readonly ClientCertSerial: string;
      /** PEM, the client's own certificate first: is it of the datacenter that signed it? */
      readonly ClientCertChain?: string;
    },
    call?: CallOptions,
  ): Promise<{ readonly Authorized: boolean; readonly Reason: string }>;
}

export function createAgentApi(transport: Transport): AgentApi {
  const get = async <T>(path: string, call: CallOptions = {}, query = {}): Promise<T> =>
    (await transport.json<T>({ method: 'GET', path: `/v1/agent/${path}`, query, call })).value;
  const put = async (path: string, call: CallOptions = {}, body?: unknown, query = {}): Promise<void> => {
    const base = { method: 'PUT', path: `/v1/agent/${path}`, query, call } as const;
    await transport.text(body === undefined ? base : { ...base, body });
  };
  return {
    recentLog: (level, call = {}) =>
      transport.text({
        method: 'GET',
        path: '/v1/agent/monitor',
        query: { loglevel: level, logjson: 'true', recent: 1 },
        call,
      }),
    monitor: (level, call = {}) =>
      transport.stream({ method: 'GET', path: '/v1/agent/monitor', query: { loglevel: level, logjson: 'true' }, call }),
    self: (call) => get('self', call),
    members: (query = {}, call) =>
      get('members', call, { wan: query.wan === true ? 1 : undefined, segment: query.segment }),
    reload: async (call = {}) => {
      const { headers } = await transport.answer({ method: 'PUT', path: '/v1/agent/reload', call });
      const keys = headers['x-isthmus-needs-restart'];
      return typeof keys === 'string' ? keys.split(', ') : [];
    },
    leave: (call) => put('leave', call),
    join: (address, wan = false, call) =>
      put(`join/${encodeURIComponent(address)}`, call, undefined, { wan: wan ? 1 : undefined }),
    forceLeave: (node, prune = false, call) =>
      put(`force-leave/${encodeURIComponent(node)}`, call, undefined, { prune: prune ? 1 : undefined }),
    services: (call) => get('services', call),
    service: (id, call) => get(`service/${encodeURIComponent(id)}`, call),
    checks: (call) => get('checks', call),
    registerService: (definition, call) => put('service/register', call, definition),
    deregisterService: (id, call) => put(`service/deregister/${encodeURIComponent(id)}`, call),
    registerCheck: (definition, call) => put('check/register', call, definition),
    deregisterCheck: (id, call) => put(`check/deregister/${encodeURIComponent(id)}`, call),
    updateCheck: (id, status, output = '', call) =>
      put(`check/update/${encodeURIComponent(id)}`, call, { Status: status, Output: output }),
    envoys: (call) => get('connect/envoys', call),
    leaf: (service, call = {}) =>
      transport.json<LeafCert>({
        method: 'GET',
        path: `/v1/agent/connect/ca/leaf/${encodeURIComponent(service)}`,
        call,
      }),
    async authorize(request, call = {}) {
      const path = '/v1/agent/connect/authorize';
      const answer = await transport.json<{ Authorized: boolean; Reason: string }>({
        method: 'POST',
        path,
        body: request,
        call,
      });
      return answer.value;
    },
  };
}
