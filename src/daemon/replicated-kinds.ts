import type { Entries } from '../domain/entries/entries.ts';
import type { ReplicatedKind } from '../federation/replication/kinds.ts';
import type { Stored } from '../store/table.ts';

export const CONFIG_ENTRIES = 'config-entries';

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
