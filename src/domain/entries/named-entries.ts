import type { ConfigEntry, ConfigEntryKind } from '../../model/config-entry.ts';
import { foldName } from '../../model/names.ts';
import type { Tx } from '../../store/store.ts';
import { joinKey, type Stored, type Table } from '../../store/table.ts';
import { canonicalEntry, mergeEntries } from './canonical.ts';

/** Index of the table: entries by their kind and the canonical form of their name. */
export const NAME_INDEX = 'name';

export function nameKey(kind: string, name: string): string {
  return joinKey(kind, foldName(name));
}

/** Names that were brought to one form. */
export interface RenamedEntry {
  readonly kind: ConfigEntryKind;
  readonly name: string;
  /** As they were written. */
  readonly spellings: readonly string[];
}

/**
 * The entries by kind and name, letter case aside. New rows bear canonical names. Older ones, and those that a primary
 * of an older version decides, may not: they are seen here in the form that they would have today, and a write takes
 * their place. In a secondary they stay as the primary has them, so that replication compares equal.
 */
export class NamedEntries {
  readonly #table: Table<ConfigEntry>;

  constructor(table: Table<ConfigEntry>) {
    this.#table = table;
  }

  get(kind: string, name: string): Stored<ConfigEntry> | undefined {
    return merged(this.#table.by(NAME_INDEX, nameKey(kind, name)));
  }

  /** All of a kind, in the order of their names. */
  list(kind: ConfigEntryKind): readonly Stored<ConfigEntry>[] {
    return this.withNames(this.#table.by('kind', kind));
  }

  /** Those that the rows are part of. */
  withNames(rows: readonly Stored<ConfigEntry>[]): readonly Stored<ConfigEntry>[] {
    const keys = new Set(rows.map(({ value }) => nameKey(value.Kind, value.Name)));
    const found = [...keys].map((key) => merged(this.#table.by(NAME_INDEX, key)) as Stored<ConfigEntry>);
    return found.sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  /** As {@link get}, as the step sees it. */
  read(tx: Tx, kind: string, name: string): ConfigEntry | undefined {
    const found = this.#keys(kind, name).flatMap((key) => {
      const entry = tx.get(this.#table, key);
      const revision = this.#table.get(key)?.modRevision ?? Number.MAX_SAFE_INTEGER;
      return entry === undefined ? [] : [{ entry: canonicalEntry(entry), revision }];
    });
    return found.length < 2 ? found[0]?.entry : mergeEntries(found);
  }

  /** The revision that last wrote the entry; 0 when there is none. */
  revision(tx: Tx, kind: string, name: string): number {
    return Math.max(...this.#keys(kind, name).map((key) => tx.row(this.#table, key)?.modRevision ?? 0));
  }

  /** @param entry canonical */
  put(tx: Tx, entry: ConfigEntry): void {
    const own = nameKey(entry.Kind, entry.Name);
    for (const key of this.#keys(entry.Kind, entry.Name)) {
      if (key !== own && tx.row(this.#table, key) !== undefined) tx.delete(this.#table, key);
    }
    tx.put(this.#table, entry);
  }

  /** False when there is none. */
  delete(tx: Tx, kind: string, name: string): boolean {
    const keys = this.#keys(kind, name).filter((key) => tx.row(this.#table, key) !== undefined);
    for (const key of keys) tx.delete(this.#table, key);
    return keys.length > 0;
  }

  /** Brings entries whose names are not canonical into their form, `limit` at most; call until none is left. */
  rename(tx: Tx, limit: number): readonly RenamedEntry[] {
    const renamed = new Map<string, RenamedEntry>();
    for (const { value, key } of this.#table.list()) {
      const own = nameKey(value.Kind, value.Name);
      if (renamed.has(own) || (key === own && canonicalEntry(value) === value)) continue;
      const entry = this.read(tx, value.Kind, value.Name);
      if (entry === undefined) continue;
      const spellings = this.#table.by(NAME_INDEX, own).map((row) => row.value.Name);
      renamed.set(own, { kind: entry.Kind, name: entry.Name, spellings });
      this.put(tx, entry);
      if (renamed.size === limit) break;
    }
    return [...renamed.values()];
  }

  #keys(kind: string, name: string): readonly string[] {
    const own = nameKey(kind, name);
    return [...new Set([own, ...this.#table.by(NAME_INDEX, own).map((row) => row.key)])];
  }
}

const SEEN = new WeakMap<Stored<ConfigEntry>, Stored<ConfigEntry>>();

function merged(rows: readonly Stored<ConfigEntry>[]): Stored<ConfigEntry> | undefined {
  const [first, ...more] = rows;
  if (first === undefined) return undefined;
  if (more.length === 0) {
    const value = canonicalEntry(first.value);
    if (value === first.value) return first;
    let seen = SEEN.get(first);
    if (seen === undefined) {
      seen = { ...first, key: nameKey(value.Kind, value.Name), value };
      SEEN.set(first, seen);
    }
    return seen;
  }
  const value = mergeEntries(rows.map((row) => ({ entry: canonicalEntry(row.value), revision: row.modRevision })));
  return {
    key: nameKey(value.Kind, value.Name),
    value,
    createRevision: Math.min(...rows.map((row) => row.createRevision)),
    modRevision: Math.max(...rows.map((row) => row.modRevision)),
  };
}
