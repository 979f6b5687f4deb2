import { invariant } from '../lib/errors.ts';
import type { Change, Row } from './engine.ts';
import { OrderedRows } from './ordered-rows.ts';

/** A row of a table, decoded. Shared by all readers: never change `value`. */
export interface Stored<T> {
  readonly key: string;
  readonly value: T;
  readonly createRevision: number;
  readonly modRevision: number;
}

export interface TableSpec<T> {
  /** Unique; the table's keys are `<name>/<key>`. */
  readonly name: string;
  /** The entity's key within the table. Join parts with {@link joinKey}. */
  readonly key: (entity: T) => string;
  /** Secondary indexes: under which values the entity is found by `by(index, value)`. */
  readonly indexes?: Readonly<Record<string, (entity: T) => readonly string[]>>;
  /** What a reader may wait for that a change of this entity touches. The table's name itself always is one. */
  readonly topics?: (entity: T) => readonly string[];
  /** Rows are found by the beginning of their keys, which are compared by UTF-16 units; see {@link Table.under}. */
  readonly ordered?: boolean;
  /** Another form of the stored text than the entity's JSON. */
  readonly codec?: Codec<T>;
}

export interface Codec<T> {
  encode(entity: T): string;
  /** @param key within the table */
  decode(key: string, text: string): T;
}

/** Joins key parts; parts may hold any character. */
export function joinKey(...parts: readonly string[]): string {
  return parts.map((part) => encodeURIComponent(part)).join('/');
}

const NO_ROWS: readonly never[] = [];

/** One table in memory, with its secondary indexes. Only the store changes it. */
export class Table<T> {
  readonly spec: TableSpec<T>;
  readonly prefix: string;
  readonly #rows = new Map<string, Stored<T>>();
  readonly #indexes = new Map<
    string,
    { of: (entity: T) => readonly string[]; rows: Map<string, Map<string, Stored<T>>> }
  >();
  #sorted: readonly Stored<T>[] | undefined;
  readonly #ordered: OrderedRows<Stored<T>> | undefined;

  constructor(spec: TableSpec<T>) {
    this.spec = spec;
    this.prefix = `${spec.name}/`;
    this.#ordered = spec.ordered === true ? new OrderedRows() : undefined;
    for (const [name, of] of Object.entries(spec.indexes ?? {})) this.#indexes.set(name, { of, rows: new Map() });
  }

  get size(): number {
    return this.#rows.size;
  }

  get(key: string): Stored<T> | undefined {
    return this.#rows.get(key);
  }

  /** All rows in key order; the array is kept until a row changes. */
  list(): readonly Stored<T>[] {
    if (this.#ordered !== undefined) return [...this.#ordered.under('')];
    this.#sorted ??= [...this.#rows.values()].sort(byKey);
    return this.#sorted;
  }

  /** Rows of an ordered table whose key begins with `prefix`, in key order. Cost follows the answer. */
  under(prefix: string): Iterable<Stored<T>> {
    invariant(this.#ordered !== undefined, `table ${this.spec.name} is not ordered`);
    return this.#ordered.under(prefix);
  }

  /** See {@link OrderedRows.newestUnder}. */
  newestUnder(prefix: string): number {
    invariant(this.#ordered !== undefined, `table ${this.spec.name} is not ordered`);
    return this.#ordered.newestUnder(prefix);
  }

  /** The rows that an index holds under a value, in key order. Cost follows the answer. */
  by(index: string, value: string): readonly Stored<T>[] {
    const rows = this.#indexes.get(index)?.rows.get(value);
    return rows === undefined ? NO_ROWS : [...rows.values()].sort(byKey);
  }

  /** The values that an index knows, unordered. */
  values(index: string): Iterable<string> {
    return this.#indexes.get(index)?.rows.keys() ?? NO_ROWS;
  }

  /** Applies one change; returns the row before and after. For the store only. */
  apply(change: Change): { before: Stored<T> | undefined; after: Stored<T> | undefined } {
    const key = change.key.slice(this.prefix.length);
    const before = this.#rows.get(key);
    const after = change.type === 'put' ? decode(this.spec, key, change) : undefined;
    if (before !== undefined) this.#unindex(before);
    if (after === undefined) {
      this.#rows.delete(key);
      this.#ordered?.delete(key);
    } else {
      this.#rows.set(key, after);
      this.#ordered?.set(after);
      this.#index(after);
    }
    this.#sorted = undefined;
    return { before, after };
  }

  #index(row: Stored<T>): void {
    for (const index of this.#indexes.values()) {
      for (const value of index.of(row.value)) {
        let rows = index.rows.get(value);
        if (rows === undefined) {
          rows = new Map();
          index.rows.set(value, rows);
        }
        rows.set(row.key, row);
      }
    }
  }

  #unindex(row: Stored<T>): void {
    for (const index of this.#indexes.values()) {
      for (const value of index.of(row.value)) {
        const rows = index.rows.get(value);
        rows?.delete(row.key);
        if (rows?.size === 0) index.rows.delete(value);
      }
    }
  }
}

function decode<T>({ codec }: TableSpec<T>, key: string, row: Row): Stored<T> {
  return {
    key,
    value: codec === undefined ? (JSON.parse(row.value) as T) : codec.decode(key, row.value),
    createRevision: row.createRevision,
    modRevision: row.modRevision,
  };
}

function byKey(a: { readonly key: string }, b: { readonly key: string }): number {
  return a.key < b.key ? -1 : a.key > b.key ? 1 : 0;
}
