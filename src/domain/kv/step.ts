import type { Tx } from '../../store/store.ts';
import { type EntryRow, type KvEntity, sameEntry } from './entry.ts';
import type { StoredKey } from './keys.ts';
import type { KvTables } from './tables.ts';

/** An entry as a step sees it: rows that it has written itself have no revision yet. */
export interface SeenEntry {
  readonly value: KvEntity;
  /** Undefined: that of the step's commit. */
  readonly createRevision: number | undefined;
  readonly modRevision: number | undefined;
}

/** An entry of a step that has become a commit. */
export function committed({ value, createRevision, modRevision }: SeenEntry, revision: number): EntryRow {
  return { value, createRevision: createRevision ?? revision, modRevision: modRevision ?? revision };
}

/** The entries as one step reads and writes them. */
export class EntryStep {
  readonly tx: Tx;
  readonly tables: KvTables;
  readonly #written = new Map<StoredKey, SeenEntry | undefined>();

  constructor(tx: Tx, tables: KvTables) {
    this.tx = tx;
    this.tables = tables;
  }

  get(key: StoredKey): SeenEntry | undefined {
    if (this.#written.has(key)) return this.#written.get(key);
    return this.tx.row(this.tables.entries, key);
  }

  /** Those whose key begins with `prefix`, in order. */
  under(prefix: StoredKey): readonly SeenEntry[] {
    const found = new Map<StoredKey, SeenEntry>();
    for (const { key } of this.tables.entries.under(prefix)) {
      const seen = this.get(key);
      if (seen !== undefined) found.set(key, seen);
    }
    const all = [...found.values()];
    let added = false;
    for (const [key, seen] of this.#written) {
      if (seen === undefined || found.has(key) || !key.startsWith(prefix)) continue;
      all.push(seen);
      added = true;
    }
    return added ? all.sort((a, b) => (a.value.Key < b.value.Key ? -1 : 1)) : all;
  }

  /** Writes an entry, unless it is there as it is: then its revision stays. */
  put(value: KvEntity): SeenEntry {
    const before = this.get(value.Key);
    if (before !== undefined && sameEntry(before.value, value)) return before;
    const stored = this.tx.row(this.tables.entries, value.Key);
    const seen = { value, createRevision: stored?.createRevision, modRevision: undefined };
    this.tx.put(this.tables.entries, value);
    this.#written.set(value.Key, seen);
    return seen;
  }

  delete(key: StoredKey): void {
    if (this.get(key) === undefined) return;
    this.tx.delete(this.tables.entries, key);
    this.#written.set(key, undefined);
  }
}
