import type { Clock } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { newUuid } from '../../lib/ids.ts';
import { throwIfAborted } from '../../lib/signals.ts';
import {
  type Change,
  type Commit,
  type Engine,
  type EngineContact,
  type Lease,
  type Op,
  OWN_DATA,
  type RangeQuery,
  type RangeResult,
  type RestoredRow,
  type RestoreOptions,
  type RestoreResult,
  type Row,
  type SnapshotPage,
  type Txn,
  type TxnResult,
  type WatchQuery,
} from '../engine.ts';
import { checkRestoredKey, checkTxn, compareKeys } from '../keys.ts';
import { Leases } from '../leases.ts';
import { compactedError, restoringError, Watchers } from '../watchers.ts';

/** A commit with what it replaced, from which older states are rebuilt. */
interface Logged {
  readonly commit: Commit;
  /** The row that each change replaced. */
  readonly before: readonly (Row | undefined)[];
}

/** Rows in one page of a snapshot. */
const PAGE_ROWS = 500;

export interface MemoryEngineOptions {
  /** How many of the newest revisions stay in the history, at least. Default 10,000. */
  readonly keepRevisions?: number;
}

/** Keeps all in memory and nothing over a restart. For tests and for `-dev`. */
export class MemoryEngine implements Engine {
  readonly shared = false;
  #epoch = newUuid();
  #rows = new Map<string, Row>();
  /** Commits of the revisions after #compacted, without a gap. */
  readonly #log: Logged[] = [];
  readonly #watchers: Watchers;
  readonly #leases: Leases;
  readonly #keepRevisions: number;
  #revision = 0;
  #compacted = 0;
  #closed = false;
  #restoring = false;

  constructor(clock: Clock, options: MemoryEngineOptions = {}) {
    this.#keepRevisions = options.keepRevisions ?? 10_000;
    this.#leases = new Leases(clock, (id) => this.#end(id));
    this.#watchers = new Watchers({
      compacted: () => this.#compacted,
      newest: () => this.#revision,
      read: (from) => this.#log.slice(from - this.#compacted - 1).map((logged) => logged.commit),
    });
  }

  contact(): EngineContact {
    return OWN_DATA;
  }

  async currentRevision(): Promise<number> {
    this.#check();
    return this.#revision;
  }

  get epoch(): string {
    return this.#epoch;
  }

  async range(query: RangeQuery): Promise<RangeResult> {
    this.#check();
    const revision = query.revision ?? this.#revision;
    const state = revision === this.#revision ? this.#rows : this.#stateAt(revision);
    const all: Row[] = [];
    for (const row of state.values()) {
      if (!row.key.startsWith(query.prefix)) continue;
      if (query.after === undefined || compareKeys(row.key, query.after) > 0) all.push(row);
    }
    all.sort((a, b) => compareKeys(a.key, b.key));
    const rows = query.limit === undefined ? all : all.slice(0, query.limit);
    return { rows, revision, epoch: this.epoch, more: rows.length < all.length };
  }

  async txn(txn: Txn): Promise<TxnResult> {
    this.#check();
    checkTxn(txn);
    for (const { key, modRevision } of txn.compare) {
      if ((this.#rows.get(key)?.modRevision ?? 0) !== modRevision)
        return { succeeded: false, revision: this.#revision };
    }
    for (const op of txn.ops) if (op.type === 'put' && op.lease !== undefined) this.#leases.require(op.lease);
    this.#apply(txn.ops);
    return { succeeded: true, revision: this.#revision };
  }

  watch(query: WatchQuery): AsyncIterable<Commit> {
    return this.#watchers.watch(query);
  }

  async compact(revision: number): Promise<void> {
    this.#check();
    this.#forget(Math.min(revision, this.#revision));
  }

  async grantLease(ttlMs: number): Promise<Lease> {
    this.#check();
    const id = newUuid();
    this.#leases.grant(id, ttlMs);
    return { id, ttlMs };
  }

  async keepLease(id: string): Promise<void> {
    this.#check();
    this.#leases.keep(id);
  }

  async revokeLease(id: string): Promise<void> {
    this.#check();
    this.#end(id);
  }

  async *snapshot(signal: AbortSignal): AsyncGenerator<SnapshotPage, void, void> {
    this.#check();
    const at = { epoch: this.epoch, revision: this.#revision };
    const rows = [...this.#rows.values()].filter((row) => this.#leases.of(row.key) === undefined);
    rows.sort((a, b) => compareKeys(a.key, b.key));
    for (let start = 0; start === 0 || start < rows.length; start += PAGE_ROWS) {
      throwIfAborted(signal);
      yield { ...at, rows: rows.slice(start, start + PAGE_ROWS) };
    }
  }

  async restore(pages: AsyncIterable<readonly RestoredRow[]>, options: RestoreOptions): Promise<RestoreResult> {
    this.#check();
    if (this.#restoring) throw restoringError();
    this.#restoring = true;
    try {
      const rows = new Map<string, RestoredRow>();
      let last = '';
      for await (const page of pages) {
        for (const row of page) {
          checkRestoredKey(row.key, last);
          rows.set(row.key, row);
          last = row.key;
        }
      }
      this.#check();
      this.#replace(rows, Math.max(this.#revision, options.above) + 1, options.continues);
      return { revision: this.#revision, epoch: this.epoch };
    } finally {
      this.#restoring = false;
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#leases.clear();
    this.#watchers.close(closedError());
  }

  #check(): void {
    if (this.#closed) throw closedError();
  }

  #replace(restored: ReadonlyMap<string, RestoredRow>, revision: number, continues: string | undefined): void {
    const rows = new Map<string, Row>();
    const own = { createRevision: revision, modRevision: revision };
    for (const [key, row] of restored) {
      rows.set(key, continues === undefined ? { ...row, ...own } : { ...own, ...row });
    }
    this.#rows = rows;
    this.#epoch = continues ?? newUuid();
    this.#log.length = 0;
    this.#revision = this.#compacted = revision;
    if (continues !== undefined) {
      this.#log.push({ commit: { revision, changes: [] }, before: [] });
      this.#compacted -= 1;
    }
    this.#leases.reattach([]);
    this.#watchers.interrupt(compactedError(this.#compacted));
  }

  #forget(to: number): void {
    if (to <= this.#compacted) return;
    this.#log.splice(0, to - this.#compacted);
    this.#compacted = to;
  }

  #end(id: string): void {
    const keys = this.#leases.keysOf(id);
    this.#leases.remove(id);
    this.#apply(keys.map((key) => ({ type: 'delete', key })));
  }

  #apply(ops: readonly Op[]): void {
    const revision = this.#revision + 1;
    const changes: Change[] = [];
    const replaced: (Row | undefined)[] = [];
    for (const op of ops) {
      const before = this.#rows.get(op.key);
      if (op.type === 'delete') {
        if (before === undefined) continue;
        this.#rows.delete(op.key);
        this.#leases.attach(op.key, undefined);
        changes.push({ type: 'delete', key: op.key, modRevision: revision });
      } else {
        const createRevision = before?.createRevision ?? revision;
        const row: Row = { key: op.key, value: op.value, createRevision, modRevision: revision };
        this.#leases.attach(op.key, op.lease);
        this.#rows.set(op.key, row);
        changes.push({ type: 'put', ...row });
      }
      replaced.push(before);
    }
    if (changes.length === 0) return;
    const commit: Commit = { revision, changes };
    this.#revision = revision;
    this.#log.push({ commit, before: replaced });
    // Cutting an array moves the rest of it, so a quarter more is left to pile up first.
    if (this.#log.length > this.#keepRevisions * 1.25) this.#forget(revision - this.#keepRevisions);
    this.#watchers.publish(commit);
  }

  /** The newest rows, with the commits after `revision` undone. */
  #stateAt(revision: number): Map<string, Row> {
    if (revision > this.#revision) throw new IsthmusError('invalid_argument', `revision ${revision} is in the future`);
    if (revision < this.#compacted) throw compactedError(this.#compacted);
    const state = new Map(this.#rows);
    for (let index = this.#log.length - 1; index >= revision - this.#compacted; index -= 1) {
      const { commit, before } = this.#log[index] as Logged;
      commit.changes.forEach((change, position) => {
        const row = before[position];
        if (row === undefined) state.delete(change.key);
        else state.set(change.key, row);
      });
    }
    return state;
  }
}

function closedError(): IsthmusError {
  return new IsthmusError('unavailable', 'the store is closed');
}
