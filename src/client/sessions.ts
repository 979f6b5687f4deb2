import type { ServiceCheckRef, Session, SessionBehavior } from '../model/kv.ts';
import type { Answer, CallOptions } from './options.ts';
import type { Transport } from './transport.ts';

export interface NewSession {
  readonly Name?: string;
  readonly Node?: string;
  /** A duration of Go: `15s`. */
  readonly TTL?: string;
  readonly LockDelay?: string;
  readonly Behavior?: SessionBehavior;
  readonly NodeChecks?: readonly string[];
  readonly ServiceChecks?: readonly ServiceCheckRef[];
}

/** Sessions, which hold locks. */
export interface SessionsApi {
  /** Resolves with its ID. */
  create(session?: NewSession, call?: CallOptions): Promise<string>;
  /** Undefined when there is no such session. */
  info(id: string, call?: CallOptions): Promise<Session | undefined>;
  list(call?: CallOptions): Promise<Answer<readonly Session[]>>;
  node(node: string, call?: CallOptions): Promise<Answer<readonly Session[]>>;
  /** Undefined when there is no such session any more. */
  renew(id: string, call?: CallOptions): Promise<Session | undefined>;
  destroy(id: string, call?: CallOptions): Promise<void>;
}

export function createSessionsApi(transport: Transport): SessionsApi {
  const get = (path: string, call: CallOptions): Promise<Answer<readonly Session[]>> =>
    transport.json({ method: 'GET', path: `/v1/session/${path}`, call });
  return {
    async create(session = {}, call = {}) {
      const request = { method: 'PUT', path: '/v1/session/create', body: session, call } as const;
      return (await transport.json<{ readonly ID: string }>(request)).value.ID;
    },
    info: async (id, call = {}) => (await get(`info/${encodeURIComponent(id)}`, call)).value[0],
    list: (call = {}) => get('list', call),
    node: (node, call = {}) => get(`node/${encodeURIComponent(node)}`, call),
    async renew(id, call = {}) {
      const path = `/v1/session/renew/${encodeURIComponent(id)}`;
      const answer = await transport.answer({ method: 'PUT', path, call }, [404]);
      return answer.status === 404 ? undefined : (JSON.parse(answer.text) as readonly Session[])[0];
    },
    async destroy(id, call = {}) {
      await transport.text({ method: 'PUT', path: `/v1/session/destroy/${encodeURIComponent(id)}`, call });
    },
  };
}
