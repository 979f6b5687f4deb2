import type {
  AclBootstrap,
  AclPolicy,
  AclPolicyInput,
  AclPolicyListed,
  AclReplicationStatus,
  AclRole,
  AclRoleInput,
  AclToken,
  AclTokenInput,
  AclTokenListed,
} from '../model/acl.ts';
import type { CallOptions } from './options.ts';
import type { Transport } from './transport.ts';

export type { AclPolicy, AclPolicyListed, AclRole, AclToken, AclTokenListed };

/** As a caller gives it: the life of a token is a duration text here. */
export type TokenInput = Omit<AclTokenInput, 'ExpirationTTL'> & { readonly ExpirationTTL?: string };

export interface AclApi {
  bootstrap(call?: CallOptions): Promise<AclBootstrap>;
  replication(call?: CallOptions): Promise<AclReplicationStatus>;
  readonly tokens: {
    list(call?: CallOptions): Promise<readonly AclTokenListed[]>;
    get(accessor: string, call?: CallOptions): Promise<AclToken>;
    self(call?: CallOptions): Promise<AclToken>;
    create(token: TokenInput, call?: CallOptions): Promise<AclToken>;
    update(accessor: string, token: TokenInput, call?: CallOptions): Promise<AclToken>;
    clone(accessor: string, description: string, call?: CallOptions): Promise<AclToken>;
    delete(accessor: string, call?: CallOptions): Promise<void>;
  };
  readonly policies: NamedApi<AclPolicy, AclPolicyListed, AclPolicyInput>;
  readonly roles: NamedApi<AclRole, AclRole, AclRoleInput>;
  /** Sets one of the agent's own tokens. */
  setAgentToken(kind: string, secret: string, call?: CallOptions): Promise<void>;
}

export interface NamedApi<Whole, Listed, Input> {
  list(call?: CallOptions): Promise<readonly Listed[]>;
  get(id: string, call?: CallOptions): Promise<Whole>;
  getByName(name: string, call?: CallOptions): Promise<Whole>;
  create(input: Input, call?: CallOptions): Promise<Whole>;
  update(id: string, input: Input, call?: CallOptions): Promise<Whole>;
  delete(id: string, call?: CallOptions): Promise<void>;
}

export function createAclApi(transport: Transport): AclApi {
  const send = async <T>(
    method: 'GET' | 'PUT' | 'DELETE',
    path: string,
    call: CallOptions = {},
    body?: unknown,
  ): Promise<T> =>
    (await transport.json<T>({ method, path: `/v1/acl/${path}`, call, ...(body === undefined ? {} : { body }) })).value;
  const named = <Whole, Listed, Input>(one: string, all: string): NamedApi<Whole, Listed, Input> => ({
    list: (call) => send('GET', all, call),
    get: (id, call) => send('GET', `${one}/${encodeURIComponent(id)}`, call),
    getByName: (name, call) => send('GET', `${one}/name/${encodeURIComponent(name)}`, call),
    create: (input, call) => send('PUT', one, call, input),
    update: (id, input, call) => send('PUT', `${one}/${encodeURIComponent(id)}`, call, input),
    async delete(id, call) {
      await send('DELETE', `${one}/${encodeURIComponent(id)}`, call);
    },
  });
  const token = (accessor: string): string => `token/${encodeURIComponent(accessor)}`;
  return {
    bootstrap: (call) => send('PUT', 'bootstrap', call),
    replication: (call) => send('GET', 'replication', call),
    tokens: {
      list: (call) => send('GET', 'tokens', call),
      get: (accessor, call) => send('GET', token(accessor), call),
      self: (call) => send('GET', 'token/self', call),
      create: (input, call) => send('PUT', 'token', call, input),
      update: (accessor, input, call) => send('PUT', token(accessor), call, input),
      clone: (accessor, description, call) =>
        send('PUT', `${token(accessor)}/clone`, call, { Description: description }),
      async delete(accessor, call) {
        await send('DELETE', token(accessor), call);
      },
    },
    policies: named('policy', 'policies'),
    roles: named('role', 'roles'),
    async setAgentToken(kind, secret, call = {}) {
      const path = `/v1/agent/token/${encodeURIComponent(kind)}`;
      await transport.text({ method: 'PUT', path, body: { Token: secret }, call });
    },
  };
}
