import type { Acl } from '../../domain/acl/acl.ts';
import { checkPolicy, checkRole, checkToken } from '../../domain/acl/replicated.ts';
import type { Entries } from '../../domain/entries/entries.ts';
import { type ReplicatedKind, replicatedTable } from '../../federation/replication/kinds.ts';
import type { ReadName } from '../../rpc/contract/reads.ts';
import type { WriteName } from '../../rpc/contract/writes.ts';
import type { Stored } from '../../store/table.ts';

export const CONFIG_ENTRIES = 'config-entries';
export const ACL_POLICIES = 'acl-policies';
export const ACL_ROLES = 'acl-roles';
export const ACL_TOKENS = 'acl-tokens';

/** The kind in which a write that the primary decided arrives in the secondaries. */
export function kindOfWrite(name: WriteName): string {
  if (!name.startsWith('acl.')) return CONFIG_ENTRIES;
  return name.endsWith('Policy') ? ACL_POLICIES : name.endsWith('Role') ? ACL_ROLES : ACL_TOKENS;
}

/** The kind that a read is answered from; undefined when it is made from this datacenter's own tables. */
export function kindOfRead(name: ReadName): string | undefined {
  const [area, what = ''] = name.split('.');
  if (area === 'config' || area === 'intentions' || area === 'discoveryChain') return CONFIG_ENTRIES;
  if (area !== 'acl') return undefined;
  if (/^polic/.test(what)) return ACL_POLICIES;
  if (/^role/.test(what)) return ACL_ROLES;
  return what === 'token' || what === 'tokens' ? ACL_TOKENS : undefined;
}

/** What is copied of access control; built-in objects and local tokens lie in other tables. */
export function aclKinds({ tables }: Acl, options: { readonly tokens: boolean }): readonly ReplicatedKind[] {
  return [
    replicatedTable(ACL_POLICIES, tables.policies, checkPolicy),
    replicatedTable(ACL_ROLES, tables.roles, checkRole),
    ...(options.tokens ? [replicatedTable(ACL_TOKENS, tables.tokens, checkToken)] : []),
  ];
}

/** What secondaries copy from the primary: a row for each kind. */
export function replicatedKinds(entries: Entries): readonly ReplicatedKind[] {
  return [
    {
      name: CONFIG_ENTRIES,
      table: {
        spec: entries.table.spec,
        prefix: entries.table.prefix,
        get size() {
          return entries.table.size;
        },
        get: (key) => entries.table.get(key) as Stored<unknown> | undefined,
        list: () => entries.table.list() as readonly Stored<unknown>[],
      },
      apply(tx, { key, value }) {
        if (value !== undefined) {
          entries.applyReplicated(tx, { type: 'put', entry: value });
          return;
        }
        const [kind = '', name = ''] = key.split('/').map(decodeURIComponent);
        entries.applyReplicated(tx, { type: 'delete', kind, name });
      },
    },
  ];
}
