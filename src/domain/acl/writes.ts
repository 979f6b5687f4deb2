import { IsthmusError } from '../../lib/errors.ts';
import type {
  AclBootstrap,
  AclPolicy,
  AclPolicyInput,
  AclRole,
  AclRoleInput,
  AclToken,
  AclTokenInput,
} from '../../model/acl.ts';
import type { Policies } from './policies.ts';
import type { Roles } from './roles.ts';
import type { Tokens } from './tokens.ts';

interface AclWritesDeps {
  readonly enabled: boolean;
  readonly policies: Policies;
  readonly roles: Roles;
  readonly tokens: Tokens;
  readonly bootstrap: () => Promise<AclBootstrap>;
  /** AccessorID of a token that is known here. */
  readonly accessorOf: (token: string) => string | undefined;
}

export type AclWrites = ReturnType<typeof createAclWrites>;

export function aclDisabled(): IsthmusError {
  return new IsthmusError('unauthenticated', 'ACL support disabled');
}

/** Writes about access control; refused where it is off. */
export function createAclWrites({ enabled, policies, roles, tokens, bootstrap, accessorOf }: AclWritesDeps) {
  const whenOn =
    <A extends unknown[], R>(write: (...args: A) => Promise<R>) =>
    async (...args: A): Promise<R> => {
      if (!enabled) throw aclDisabled();
      return write(...args);
    };
  type ById = { readonly id: string };
  type ByAccessor = { readonly accessor: string };
  type Call = { readonly token?: string };
  return {
    'acl.bootstrap': whenOn(bootstrap),
    'acl.setPolicy': whenOn(
      ({ policy }: { readonly policy: AclPolicyInput }): Promise<AclPolicy> => policies.set(policy),
    ),
    'acl.deletePolicy': whenOn(({ id }: ById) => policies.delete(id)),
    'acl.setRole': whenOn(({ role }: { readonly role: AclRoleInput }): Promise<AclRole> => roles.set(role)),
    'acl.deleteRole': whenOn(({ id }: ById) => roles.delete(id)),
    'acl.createToken': whenOn(
      ({ token }: { readonly token: AclTokenInput }): Promise<AclToken> => tokens.create(token),
    ),
    'acl.updateToken': whenOn(
      ({ token }: { readonly token: AclTokenInput }): Promise<AclToken> => tokens.update(token),
    ),
    'acl.cloneToken': whenOn(({ accessor, description }: ByAccessor & { readonly description?: string }) =>
      tokens.clone(accessor, description),
    ),
    'acl.deleteToken': whenOn(({ accessor }: ByAccessor, { token = '' }: Call) =>
      tokens.delete(accessor, accessorOf(token)),
    ),
  };
}
