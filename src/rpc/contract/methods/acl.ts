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
  AclTokenListArgs,
  AclTokenListed,
} from '../../../model/acl.ts';
import { HIDDEN_TOKEN } from '../../../model/prepared-query.ts';
import type { ReplicatedKindName } from '../../../model/replication.ts';
import type { Grants } from '../../../model/rights.ts';
import { type Decided, type NoArgs, OWN_DATA, read, write } from './method.ts';
import { OPEN, readNeeds, writeNeeds } from './rights.ts';
import { EVERYONE, SERVERS, THIS_DATACENTER } from './roles.ts';

const copied = <K extends ReplicatedKindName>(madeFrom: K) =>
  ({ answered: 'here', leader: false, madeFrom, callers: EVERYONE }) as const;

const seesAll = readNeeds('acl', 'read');

export const aclReads = {
  'acl.tokens': read<AclTokenListArgs, readonly AclTokenListed[]>({
    ...copied('acl-tokens'),
    needs: {},
    rights: seesAll,
  }),
  'acl.token': read<{ readonly accessor: string }, AclToken>({
    ...copied('acl-tokens'),
    needs: { accessor: 'text' },
    rights: {
      allow: (rights) => rights.may('acl', '', 'read'),
      show: (rights, token) => (rights.may('acl', '', 'write') ? token : { ...token, SecretID: HIDDEN_TOKEN }),
    },
  }),
  /** The token of the call itself. */
  'acl.tokenSelf': read<NoArgs, AclToken>({ ...OWN_DATA, needs: {}, callers: EVERYONE, rights: 'caller' }),
  /** What the token of the call may do in this datacenter: for agents, which decide about their own endpoints. */
  'acl.grants': read<NoArgs, Grants>({ ...OWN_DATA, needs: {}, callers: THIS_DATACENTER, rights: 'caller' }),
  'acl.policies': read<NoArgs, readonly AclPolicyListed[]>({
    ...copied('acl-policies'),
    needs: {},
    rights: seesAll,
  }),
  'acl.policy': read<{ readonly id: string } | { readonly name: string }, AclPolicy>({
    ...copied('acl-policies'),
    needs: {},
    rights: seesAll,
  }),
  'acl.roles': read<{ readonly policy?: string }, readonly AclRole[]>({
    ...copied('acl-roles'),
    needs: {},
    rights: seesAll,
  }),
  'acl.role': read<{ readonly id: string } | { readonly name: string }, AclRole>({
    ...copied('acl-roles'),
    needs: {},
    rights: seesAll,
  }),
  /** What the call's token lacks to replicate these tables (and `certificates`). */
  'acl.missingForReplication': read<{ readonly kinds: readonly string[] }, { readonly Problem: string }>({
    ...OWN_DATA,
    needs: { kinds: 'texts' },
    callers: SERVERS,
    rights: 'caller',
  }),
  'acl.replication': read<NoArgs, AclReplicationStatus>({
    ...OWN_DATA,
    leader: true,
    needs: {},
    callers: EVERYONE,
    rights: OPEN,
  }),
};

const written = <K extends ReplicatedKindName>(arrivesIn: K) =>
  ({ leader: false, repeatable: false, arrivesIn, callers: EVERYONE, rights: writeNeeds('acl', 'write') }) as const;

/** A token that exists is decided on where it is stored. */
const ofStored: Decided<{ readonly accessor: string }> = {
  tokenOwner: ({ accessor }, isLocal) => isLocal(accessor),
};

export const aclWrites = {
  'acl.bootstrap': write<NoArgs, AclBootstrap>({
    ...written('acl-tokens'),
    decided: 'primary',
    needs: {},
    audit: [],
    rights: () => true, // guarded by being possible once
  }),
  /** With an ID it changes that policy, else it creates one. */
  'acl.setPolicy': write<{ readonly policy: AclPolicyInput }, AclPolicy>({
    ...written('acl-policies'),
    decided: 'primary',
    needs: { policy: 'object' },
    audit: ['policy.ID', 'policy.Name'],
  }),
  'acl.deletePolicy': write<{ readonly id: string }, true>({
    ...written('acl-policies'),
    decided: 'primary',
    needs: { id: 'text' },
    audit: ['id'],
  }),
  'acl.setRole': write<{ readonly role: AclRoleInput }, AclRole>({
    ...written('acl-roles'),
    decided: 'primary',
    needs: { role: 'object' },
    audit: ['role.ID', 'role.Name'],
  }),
  'acl.deleteRole': write<{ readonly id: string }, true>({
    ...written('acl-roles'),
    decided: 'primary',
    needs: { id: 'text' },
    audit: ['id'],
  }),
  'acl.createToken': write<{ readonly token: AclTokenInput }, AclToken>({
    ...written('acl-tokens'),
    decided: { tokenOwner: ({ token }) => token.Local === true },
    needs: { token: 'object' },
    audit: ['token.AccessorID'],
  }),
  'acl.updateToken': write<{ readonly token: AclTokenInput }, AclToken>({
    ...written('acl-tokens'),
    decided: { tokenOwner: ({ token }, isLocal) => isLocal(token.AccessorID ?? '') },
    needs: { token: 'object' },
    audit: ['token.AccessorID'],
  }),
  'acl.cloneToken': write<{ readonly accessor: string; readonly description?: string }, AclToken>({
    ...written('acl-tokens'),
    decided: ofStored,
    needs: { accessor: 'text' },
    audit: ['accessor'],
  }),
  'acl.deleteToken': write<{ readonly accessor: string }, true>({
    ...written('acl-tokens'),
    decided: ofStored,
    needs: { accessor: 'text' },
    audit: ['accessor'],
  }),
};
