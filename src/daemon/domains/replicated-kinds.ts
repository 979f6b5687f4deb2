import type { Acl } from '../../domain/acl/acl.ts';
import { checkPolicy, checkRole, checkToken } from '../../domain/acl/replicated.ts';
import type { Entries } from '../../domain/entries/entries.ts';
import { type ReplicatedKind, replicatedTable } from '../../federation/replication/kinds.ts';
import { ACL_POLICIES, ACL_ROLES, ACL_TOKENS, CONFIG_ENTRIES } from '../../model/replication.ts';
import type { Stored } from '../../store/table.ts';

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
