import { isUuid, newUuid } from '../../lib/ids.ts';
import {
  type AclPolicy,
  type AclPolicyInput,
  type AclPolicyListed,
  GLOBAL_MANAGEMENT_ID,
  GLOBAL_READ_ONLY_ID,
} from '../../model/acl.ts';
import type { Read } from '../../store/read.ts';
import type { Store, Tx } from '../../store/store.ts';
import type { Stored } from '../../store/table.ts';
import { aclNotFound, hashOf, isAclName, rejected } from './links.ts';
import { parseRules } from './rules.ts';
import { type AclTables, alone, POLICIES_TOPIC, policyByName, policyRow, type StoredPolicy } from './tables.ts';

/** The policies that every store holds from its start. */
export const BUILTIN_POLICIES: readonly StoredPolicy[] = [
  hashed({
    ID: GLOBAL_MANAGEMENT_ID,
    Name: 'global-management',
    Description: 'Builtin Policy that grants unlimited access',
    Rules: everyResource('write'),
  }),
  hashed({
    ID: GLOBAL_READ_ONLY_ID,
    Name: 'builtin/global-read-only',
    Description: 'Builtin Policy that grants unlimited read-only access to all components',
    Rules: everyResource('read'),
  }),
];

function everyResource(level: 'read' | 'write'): string {
  return ['acl', 'keyring', 'operator']
    .map((name) => `${name} = "${level}"\n`)
    .concat(
      ['agent', 'event', 'key', 'node', 'query', 'session'].map(
        (name) => `${name}_prefix "" { policy = "${level}" }\n`,
      ),
      `service_prefix "" { policy = "${level}" intentions = "${level}" }\n`,
    )
    .join('');
}

/** Undefined for a policy that was written. */
function builtinPolicy(id: string): StoredPolicy | undefined {
  return BUILTIN_POLICIES.find(({ ID }) => ID === id);
}

export interface Policies {
  readonly reads: {
    readonly 'acl.policies': Read<Record<never, never>, readonly AclPolicyListed[]>;
    readonly 'acl.policy': Read<{ readonly id: string } | { readonly name: string }, AclPolicy>;
  };
  set(input: AclPolicyInput): Promise<AclPolicy>;
  delete(id: string): Promise<true>;
}

export function createPolicies(store: Store, tables: AclTables): Policies {
  return {
    reads: {
      'acl.policies': {
        topics: () => [POLICIES_TOPIC],
        produce: () => [...tables.builtinPolicies.list(), ...tables.policies.list()].map(listed),
      },
      'acl.policy': {
        topics: () => [POLICIES_TOPIC],
        produce(args) {
          const row = 'id' in args ? policyRow(tables, args.id) : policyByName(tables, args.name);
          if (row === undefined) throw aclNotFound();
          return shown(row);
        },
      },
    },

    async set(input) {
      const { ID = '', Name = '' } = input;
      if (ID !== '' && !isUuid(ID)) throw rejected('Policy ID invalid UUID');
      if (Name === '') throw rejected('Invalid Policy: no Name is set');
      if (!isAclName(Name) && builtinPolicy(ID)?.Name !== Name)
        throw rejected("Invalid Policy: invalid Name. Only alphanumeric characters, '-' and '_' are allowed");
      parseRules(input.Rules ?? '');
      const id = ID === '' ? newUuid() : ID;
      await store.transact((tx) => put(tx, tables, id, ID !== '', input));
      return shown(policyRow(tables, id) as Stored<StoredPolicy>);
    },

    async delete(id) {
      if (!isUuid(id)) throw rejected('Policy ID is missing or an invalid UUID');
      const builtin = builtinPolicy(id);
      if (builtin !== undefined) throw rejected(`Delete operation not permitted on the builtin ${builtin.Name} policy`);
      await store.transact((tx) => {
        if (tx.get(tables.policies, id) !== undefined) tx.delete(tables.policies, id);
      });
      return true;
    },
  };
}

function put(tx: Tx, tables: AclTables, id: string, update: boolean, input: AclPolicyInput): void {
  const { Name = '', Description = '', Rules = '', Datacenters = [] } = input;
  alone(tx, tables, 'policy-names');
  const other = policyByName(tables, Name);
  if (other !== undefined && other.value.ID !== id)
    throw rejected(`Invalid Policy: A Policy with Name ${JSON.stringify(Name)} already exists`);
  const builtin = builtinPolicy(id);
  const table = builtin !== undefined ? tables.builtinPolicies : tables.policies;
  const before = tx.get(table, id);
  if (update && before === undefined) throw rejected(`cannot find policy ${id}`);
  if (builtin !== undefined) {
    if (Rules !== before?.Rules)
      throw rejected(`Changing the Rules for the builtin ${builtin.Name} policy is not permitted`);
    if (Datacenters.length > 0)
      throw rejected(`Changing the Datacenters of the builtin ${builtin.Name} policy is not permitted`);
  }
  tx.put(table, hashed({ ID: id, Name, Description, Rules, ...(Datacenters.length > 0 ? { Datacenters } : {}) }));
}

function hashed(policy: Omit<StoredPolicy, 'Hash'>): StoredPolicy {
  return { ...policy, Hash: hashOf(policy) };
}

function shown(row: Stored<StoredPolicy>): AclPolicy {
  return { ...row.value, CreateIndex: row.createRevision, ModifyIndex: row.modRevision };
}

function listed(row: Stored<StoredPolicy>): AclPolicyListed {
  const { ID, Name, Description, Datacenters = null, Hash } = row.value;
  return { ID, Name, Description, Datacenters, Hash, CreateIndex: row.createRevision, ModifyIndex: row.modRevision };
}
