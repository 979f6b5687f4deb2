import { IsthmusError } from '../../lib/errors.ts';
import type { Tx } from '../../store/store.ts';
import type { Stored, Table } from '../../store/table.ts';

/** A table, as far as replication reads it by itself. */
export interface ReplicaTable {
  readonly spec: { readonly name: string };
  readonly prefix: string;
  readonly size: number;
  get(key: string): Stored<unknown> | undefined;
  list(): readonly Stored<unknown>[];
}

/** One change of the source, decoded. */
export interface ReplicaChange {
  readonly key: string;
  /** Revision of the source's commit. */
  readonly revision: number;
  /** The entity as the source stores it; undefined when it was deleted there. */
  readonly value: unknown;
}

/** A table that is replicated: one row of the list that the composition root hands to both sides. */
export interface ReplicatedKind {
  /** As it is named on the wire and in the status: 'config-entries'. */
  readonly name: string;
  readonly table: ReplicaTable;
  /**
   * Writes a change into the reader's store. Throws when it can't be accepted: the entry is then quarantined, what this
   * call wrote is dropped, and it is tried again when the entry or others change.
   */
  apply(tx: Tx, change: ReplicaChange): void;
}

/**
 * The usual kind: rows are copied under their keys.
 * @param check throws when an entity is not acceptable here; returns it otherwise
 */
export function replicatedTable<T>(name: string, table: Table<T>, check: (value: unknown) => T): ReplicatedKind {
  return {
    name,
    table,
    apply(tx, { key, value }) {
      if (value === undefined) {
        tx.delete(table, key);
        return;
      }
      const entity = check(value);
      const own = table.spec.key(entity);
      if (own !== key) throw new IsthmusError('rejected', `the entry under key "${key}" says that its key is "${own}"`);
      tx.put(table, entity);
    },
  };
}
