import { isDeepStrictEqual } from 'node:util';
import { IsthmusError } from '../../lib/errors.ts';
import type { RowDelta } from '../../rpc/contract/changes.ts';
import type { Store, Tx } from '../../store/store.ts';
import { joinKey, type Stored, type Table } from '../../store/table.ts';
import type { ReplicatedKind } from './kinds.ts';
import type { ReplicaTables, StoredCursor, StoredQuarantine } from './replica-tables.ts';

export interface ApplierDeps {
  readonly store: Pick<Store, 'transact'>;
  readonly tables: ReplicaTables;
  readonly kind: ReplicatedKind;
  readonly now: () => number;
}

export interface ApplyResult {
  /** True when something was written. */
  readonly changed: boolean;
  /** Entries that were quarantined by this step or tried again in vain. */
  readonly refused: readonly StoredQuarantine[];
}

/** Rows in one commit at most. */
const MAX_ROWS = 2_000;
/** Quarantined entries tried again with one batch at most. */
const MAX_RETRIES = 200;
/** The cursor alone is written once it is this many revisions behind: a restart then has less to catch up with. */
const CURSOR_STEP = 10_000;

/**
 * Writes changes of the source, and the cursor that says so, in one commit. A change that its kind refuses is set aside
 * with its error; the rest goes on. What changes nothing is not written.
 */
export class Applier {
  readonly #deps: ApplierDeps;

  constructor(deps: ApplierDeps) {
    this.#deps = deps;
  }

  get cursor(): StoredCursor | undefined {
    return this.#deps.tables.cursors.get(joinKey(this.#deps.kind.name))?.value;
  }

  get quarantined(): readonly Stored<StoredQuarantine>[] {
    return this.#deps.tables.quarantine.by('kind', this.#deps.kind.name);
  }

  /** @param cursor where the reader is after these changes; absent while more of the same step follows */
  async apply(
    changes: readonly RowDelta[],
    cursor: StoredCursor | undefined,
    signal: AbortSignal,
  ): Promise<ApplyResult> {
    const refused: StoredQuarantine[] = [];
    let changed = false;
    if (changes.length === 0 && (cursor === undefined || !this.#isDue(cursor))) return { changed, refused };
    const parts = Math.max(1, Math.ceil(changes.length / MAX_ROWS));
    for (let part = 0; part < parts; part += 1) {
      const rows = parts === 1 ? changes : changes.slice(part * MAX_ROWS, (part + 1) * MAX_ROWS);
      const result = await this.#commit(rows, part === parts - 1 ? cursor : undefined, signal);
      changed ||= result.changed;
      refused.push(...result.refused);
    }
    return { changed, refused };
  }

  async #commit(
    rows: readonly RowDelta[],
    cursor: StoredCursor | undefined,
    signal: AbortSignal,
    how: { readonly retry: boolean; readonly bad?: string } = { retry: true },
  ): Promise<ApplyResult> {
    try {
      const { result, changed } = await this.#deps.store.transact((tx) => this.#step(tx, rows, cursor, how), signal);
      return { changed, refused: result };
    } catch (thrown) {
      const error = IsthmusError.from(thrown);
      if (signal.aborted || !isPoison(error) || rows.length === 0 || how.bad !== undefined) throw error;
      // The engine refused the commit: find the row that it can't hold, first without those tried again.
      if (how.retry) return this.#commit(rows, cursor, signal, { retry: false });
      if (rows.length === 1) return this.#commit(rows, cursor, signal, { retry: false, bad: error.message });
      const middle = rows.length >> 1;
      const first = await this.#commit(rows.slice(0, middle), undefined, signal, { retry: false });
      const second = await this.#commit(rows.slice(middle), cursor, signal, { retry: false });
      return { changed: first.changed || second.changed, refused: [...first.refused, ...second.refused] };
    }
  }

  /** One try, on the view as it is. `bad` is the engine's error when it refused these rows before. */
  #step(
    tx: Tx,
    rows: readonly RowDelta[],
    cursor: StoredCursor | undefined,
    { retry, bad }: { readonly retry: boolean; readonly bad?: string },
  ): readonly StoredQuarantine[] {
    const { tables, kind } = this.#deps;
    const waiting = new Map(this.quarantined.map(({ value }) => [value.key, value]));
    const refused = new Map<string, StoredQuarantine>();
    let writes = 0;
    const attempt = (row: { key: string; revision: number; json?: Buffer | string }): void => {
      const error = bad ?? this.#tryOne(tx, row, (count) => (writes += count));
      const known = waiting.get(row.key);
      refused.delete(row.key);
      if (error === undefined) {
        if (known === undefined) return;
        waiting.delete(row.key);
        tx.delete(tables.quarantine, joinKey(kind.name, row.key));
        writes += 1;
        return;
      }
      const entry: StoredQuarantine = {
        kind: kind.name,
        key: row.key,
        revision: row.revision,
        json: row.json?.toString() ?? '',
        error,
        since: known?.since ?? this.#deps.now(),
      };
      refused.set(row.key, entry);
      waiting.set(row.key, entry);
      if (isDeepStrictEqual(known, entry)) return;
      tx.put(tables.quarantine, entry);
      writes += 1;
    };
    for (const row of rows) attempt(row);
    if (retry && writes > 0) this.#retry(waiting, attempt, () => writes);
    if (cursor !== undefined && (writes > 0 || this.#isDue(cursor))) {
      tx.row(tables.cursors, joinKey(kind.name)); // a second replicator would collide here
      tx.put(tables.cursors, cursor);
    }
    return [...refused.values()];
  }

  /** Tries what is quarantined again: an entry may have waited for one that has arrived. */
  #retry(
    waiting: ReadonlyMap<string, StoredQuarantine>,
    attempt: (row: StoredQuarantine) => void,
    writes: () => number,
  ): void {
    for (let before = -1; before !== writes() && waiting.size > 0; ) {
      before = writes();
      let tries = 0;
      for (const entry of [...waiting.values()]) {
        if (++tries > MAX_RETRIES) break;
        attempt(entry);
      }
    }
  }

  /** The error, or undefined when the change was applied. */
  #tryOne(
    tx: Tx,
    row: { readonly key: string; readonly revision: number; readonly json?: Buffer | string },
    wrote: (count: number) => void,
  ): string | undefined {
    const scratch = new ScratchTx(tx);
    try {
      const { json } = row;
      const value: unknown = json === undefined || json.length === 0 ? undefined : JSON.parse(json.toString());
      this.#deps.kind.apply(scratch, { key: row.key, revision: row.revision, value });
    } catch (thrown) {
      return IsthmusError.from(thrown).message;
    }
    wrote(scratch.flush());
    return undefined;
  }

  #isDue(cursor: StoredCursor): boolean {
    const stored = this.cursor;
    if (stored === undefined || stored.epoch !== cursor.epoch) return true;
    return cursor.revision - stored.revision >= CURSOR_STEP;
  }
}

function isPoison({ code }: IsthmusError): boolean {
  return code === 'invalid_argument' || code === 'rejected' || code === 'too_large' || code === 'internal';
}

/** Holds the writes of one change back until it is known to be good, and drops those that change nothing. */
class ScratchTx implements Tx {
  readonly #tx: Tx;
  readonly #writes = new Map<string, { readonly entity: unknown; readonly flush: () => number }>();

  constructor(tx: Tx) {
    this.#tx = tx;
  }

  get<T>(table: Table<T>, key: string): T | undefined {
    const written = this.#writes.get(table.prefix + key);
    return written === undefined ? this.#tx.get(table, key) : (written.entity as T | undefined);
  }

  row<T>(table: Table<T>, key: string): Stored<T> | undefined {
    return this.#tx.row(table, key);
  }

  put<T>(table: Table<T>, entity: T): void {
    const key = table.spec.key(entity);
    const flush = (): number => {
      if (isDeepStrictEqual(this.#tx.get(table, key), entity)) return 0;
      this.#tx.put(table, entity);
      return 1;
    };
    this.#writes.set(table.prefix + key, { entity, flush });
  }

  delete<T>(table: Table<T>, key: string): void {
    const flush = (): number => {
      if (this.#tx.get(table, key) === undefined) return 0;
      this.#tx.delete(table, key);
      return 1;
    };
    this.#writes.set(table.prefix + key, { entity: undefined, flush });
  }

  /** Hands the writes on; returns how many change something. */
  flush(): number {
    let count = 0;
    for (const { flush } of this.#writes.values()) count += flush();
    return count;
  }
}
