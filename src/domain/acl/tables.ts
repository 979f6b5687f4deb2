import { createHash } from 'node:crypto';
import type { AclPolicy, AclRole, AclToken } from '../../model/acl.ts';
import { REPLICATION_ROLE_ID } from '../../model/acl.ts';
import type { Store, Tx } from '../../store/store.ts';
import type { Stored, Table, TableSpec } from '../../store/table.ts';

type WithoutIndexes<T> = Omit<T, 'CreateIndex' | 'ModifyIndex'>;

export type StoredToken = WithoutIndexes<AclToken>;
export type StoredPolicy = WithoutIndexes<AclPolicy>;
export type StoredRole = WithoutIndexes<AclRole>;

/**
 * - bootstrap: that it was done; its revision is the reset index
 * - policy-names, role-names: written with every policy or role, so that two can't take one name at once
 * - token-secrets: the same for tokens whose secret was given
 */
export type AclState =
  | { readonly key: 'bootstrap'; readonly accessor: string }
  /** Which token the configuration's own secret last made. */
  | { readonly key: 'initial-management'; readonly accessor: string }
  | { readonly key: 'policy-names' | 'role-names' | SecretsKey };

/** Topics that announce a change of what tokens may do. */
export const TOKENS_TOPIC = 'acl-tokens-shown';
export const POLICIES_TOPIC = 'acl-policies-shown';
export const ROLES_TOPIC = 'acl-roles-shown';

/**
 * What is replicated, and beside it what belongs to this datacenter alone: local tokens, and the built-in token and
 * policy. A reader sees each pair as one.
 */
export interface AclTables {
  readonly tokens: Table<StoredToken>;
  readonly localTokens: Table<StoredToken>;
  readonly policies: Table<StoredPolicy>;
  readonly builtinPolicies: Table<StoredPolicy>;
  readonly roles: Table<StoredRole>;
  readonly state: Table<AclState>;
}

export function declareTables(store: Store): AclTables {
  const tokens = (name: string): TableSpec<StoredToken> => ({
    name,
    key: (token) => token.AccessorID,
    indexes: {
      secret: (token) => [token.SecretID],
      policy: (token) => (token.Policies ?? []).map((link) => link.ID),
      role: (token) => (token.Roles ?? []).map((link) => link.ID),
    },
    topics: () => [TOKENS_TOPIC],
  });
  const named = <T extends { readonly ID: string; readonly Name: string }>(
    name: string,
    topic: string,
  ): TableSpec<T> => ({
    name,
    key: (entity) => entity.ID,
    indexes: { name: (entity) => [entity.Name] },
    topics: () => [topic],
  });
  return {
    tokens: store.table(tokens('acl-tokens')),
    localTokens: store.table(tokens('acl-local-tokens')),
    policies: store.table<StoredPolicy>(named('acl-policies', POLICIES_TOPIC)),
    builtinPolicies: store.table<StoredPolicy>(named('acl-builtin-policies', POLICIES_TOPIC)),
    roles: store.table<StoredRole>(named('acl-roles', ROLES_TOPIC)),
    state: store.table<AclState>({ name: 'acl-state', key: (row) => row.key }),
  };
}

export function tokenRow(tables: AclTables, accessor: string): Stored<StoredToken> | undefined {
  return tables.tokens.get(accessor) ?? tables.localTokens.get(accessor);
}

export function tokenBySecret(tables: AclTables, secret: string): Stored<StoredToken> | undefined {
  return tables.tokens.by('secret', secret)[0] ?? tables.localTokens.by('secret', secret)[0];
}

export function policyRow(tables: AclTables, id: string): Stored<StoredPolicy> | undefined {
  return tables.builtinPolicies.get(id) ?? tables.policies.get(id);
}

export function policyByName(tables: AclTables, name: string): Stored<StoredPolicy> | undefined {
  return tables.builtinPolicies.by('name', name)[0] ?? tables.policies.by('name', name)[0];
}

/** The token as a transaction sees it, and the table that holds it. */
export function findToken(
  tx: Tx,
  tables: AclTables,
  accessor: string,
): { readonly table: Table<StoredToken>; readonly token: StoredToken } | undefined {
  for (const table of [tables.tokens, tables.localTokens]) {
    const token = tx.get(table, accessor);
    if (token !== undefined) return { table, token };
  }
  return undefined;
}

/** Whether something can be linked to by this ID. */
export function roleExists(tables: AclTables, id: string): boolean {
  return id === REPLICATION_ROLE_ID || tables.roles.get(id) !== undefined;
}

/**
 * Makes this transaction one that no other of its kind can be committed beside. Secrets are of 256 kinds, by their
 * hash, so that only the same one, and now and then another, has to wait.
 */
export function alone(tx: Tx, tables: AclTables, key: 'policy-names' | 'role-names' | SecretsKey): void {
  tx.row(tables.state, key);
  tx.put(tables.state, { key });
}

type SecretsKey = `token-secrets-${string}`;

export function secretsKey(secret: string): SecretsKey {
  return `token-secrets-${createHash('sha256').update(secret).digest('hex').slice(0, 2)}`;
}
