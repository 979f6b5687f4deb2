import type { Clock, Timer } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { newUuid } from '../../lib/ids.ts';
import { AsyncQueue } from '../../lib/queue.ts';
import type {
  Change,
  Commit,
  Engine,
  Lease,
  RangeQuery,
  RangeResult,
  Row,
  Txn,
  TxnResult,
  WatchQuery,
} from '../engine.ts';

/** Keeps all in memory and nothing over a restart. For tests and for `-dev`. */
export class MemoryEngine implements Engine {
  readonly epoch = newUuid();
  readonly #clock: Clock;
  readonly #rows = new Map<string, Row>();
  readonly #log: Commit[] = [];
  readonly #watchers = new Set<{ prefix: string; queue: AsyncQueue<Commit> }>();
  readonly #leases = new Map<string, { ttlMs: number; keys: Set<string>; timer: Timer }>();
  #revision = 0;
  #compacted = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async range(query: RangeQuery): Promise<RangeResult> {
    const revision = query.revision ?? this.#revision;
    const state = revision === this.#revision ? this.#rows : this.#stateAt(revision);
    const all = [...state.values()]
      .filter((row) => row.key.startsWith(query.prefix) && (query.after === undefined || row.key > query.after))
      .sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
    const rows = query.limit === undefined ? all : all.slice(0, query.limit);
    return { rows, revision, more: rows.length < all.length };
  }

  async txn(txn: Txn): Promise<TxnResult> {
    for (const { key, modRevision } of txn.compare) {
      if ((this.#rows.get(key)?.modRevision ?? 0) !== modRevision)
        return { succeeded: false, revision: this.#revision };
    }
    const revision = this.#revision + 1;
    const changes: Change[] = [];
    for (const op of txn.ops) {
      const before = this.#rows.get(op.key);
      if (op.type === 'delete') {
        if (before === undefined) continue;
        this.#rows.delete(op.key);
        changes.push({ type: 'delete', key: op.key, modRevision: revision });
      } else {
        const row: Row = {
          key: op.key,
          value: op.value,
          createRevision: before?.createRevision ?? revision,
          modRevision: revision,
        };
        for (const lease of this.#leases.values()) lease.keys.delete(op.key);
        if (op.lease !== undefined) this.#lease(op.lease).keys.add(op.key);
        this.#rows.set(op.key, row);
        changes.push({ type: 'put', ...row });
      }
    }
    if (changes.length === 0) return { succeeded: true, revision: this.#revision };
    this.#revision = revision;
    const commit: Commit = { revision, changes };
    this.#log.push(commit);
    for (const watcher of this.#watchers) offer(watcher, commit);
    return { succeeded: true, revision };
  }

  async *watch(query: WatchQuery): AsyncIterable<Commit> {
    if (query.fromRevision <= this.#compacted) throw this.#compactedError();
    const queue = new AsyncQueue<Commit>();
    const watcher = { prefix: query.prefix, queue };
    for (const commit of this.#log) if (commit.revision >= query.fromRevision) offer(watcher, commit);
    this.#watchers.add(watcher);
    const unhook = queue.endOn(query.signal);
    try {
      yield* queue;
    } finally {
      unhook();
      this.#watchers.delete(watcher);
    }
  }

  async compact(revision: number): Promise<void> {
    this.#compacted = Math.max(this.#compacted, Math.min(revision, this.#revision));
    while ((this.#log[0]?.revision ?? Number.POSITIVE_INFINITY) <= this.#compacted) this.#log.shift();
  }

  async grantLease(ttlMs: number): Promise<Lease> {
    const id = newUuid();
    this.#leases.set(id, { ttlMs, keys: new Set(), timer: this.#expireLater(id, ttlMs) });
    return { id, ttlMs };
  }

  async keepLease(id: string): Promise<void> {
    const lease = this.#lease(id);
    lease.timer.cancel();
    lease.timer = this.#expireLater(id, lease.ttlMs);
  }

  async revokeLease(id: string): Promise<void> {
    const lease = this.#leases.get(id);
    if (lease === undefined) return;
    lease.timer.cancel();
    this.#leases.delete(id);
    await this.txn({ compare: [], ops: [...lease.keys].map((key) => ({ type: 'delete', key })) });
  }

  async close(): Promise<void> {
    for (const lease of this.#leases.values()) lease.timer.cancel();
    for (const watcher of this.#watchers) watcher.queue.fail(new IsthmusError('unavailable', 'the store is closed'));
  }

  #expireLater(id: string, ttlMs: number): Timer {
    return this.#clock.after(ttlMs, () => void this.revokeLease(id));
  }

  #lease(id: string): { ttlMs: number; keys: Set<string>; timer: Timer } {
    const lease = this.#leases.get(id);
    if (lease === undefined) throw new IsthmusError('not_found', `lease ${id} has ended`);
    return lease;
  }

  #stateAt(revision: number): Map<string, Row> {
    if (revision > this.#revision) throw new IsthmusError('invalid_argument', `revision ${revision} is in the future`);
    if (revision < this.#compacted) throw this.#compactedError();
    const state = new Map<string, Row>();
    // Rows that have not changed since are as they are; the others are rebuilt from the log.
    for (const row of this.#rows.values()) if (row.modRevision <= revision) state.set(row.key, row);
    for (const commit of this.#log) {
      if (commit.revision > revision) break;
      for (const change of commit.changes) {
        if (change.type === 'delete') state.delete(change.key);
        else state.set(change.key, change);
      }
    }
    return state;
  }

  #compactedError(): IsthmusError {
    const oldest = this.#compacted + 1;
    return new IsthmusError('compacted', `the store holds revisions from ${oldest} on; read it anew`, {
      details: { revision: oldest },
    });
  }
}

function offer(watcher: { prefix: string; queue: AsyncQueue<Commit> }, commit: Commit): void {
  const changes = commit.changes.filter((change) => change.key.startsWith(watcher.prefix));
  if (changes.length > 0) watcher.queue.push({ revision: commit.revision, changes });
}
