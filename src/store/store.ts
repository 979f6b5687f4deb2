import type { Clock } from '../lib/clock.ts';
import { hasCode, IsthmusError, invariant } from '../lib/errors.ts';
import type { Service } from '../lib/service.ts';
import { abortReason } from '../lib/signals.ts';
import { createTaskGroup } from '../lib/task.ts';
import type {
  Change,
  Commit,
  Compare,
  Engine,
  EngineContact,
  Op,
  RestoredRow,
  RestoreOptions,
  RestoreResult,
  SnapshotPage,
} from './engine.ts';
import { type Stored, Table, type TableSpec } from './table.ts';
import { Topics } from './topics.ts';

/** One row that a commit changed, as listeners see it. */
export interface RowChange<T = unknown> {
  readonly table: string;
  readonly key: string;
  readonly before: Stored<T> | undefined;
  readonly after: Stored<T> | undefined;
}

export interface AppliedCommit {
  readonly revision: number;
  readonly changes: readonly RowChange[];
}

/** Reads and writes of one atomic step. Reads see the step's own writes. What was read must not change meanwhile. */
export interface Tx {
  get<T>(table: Table<T>, key: string): T | undefined;
  /** The stored row, with its revisions; own writes are not seen. */
  row<T>(table: Table<T>, key: string): Stored<T> | undefined;
  /** @param lease the row is deleted when this lease ends; without one the row stays until it is deleted. */
  put<T>(table: Table<T>, entity: NoInfer<T>, lease?: string): void;
  delete<T>(table: Table<T>, key: string): void;
}

export interface TransactResult<R> {
  readonly result: R;
  /** The view has reached this revision when `transact` resolves. */
  readonly revision: number;
  /** False when the step wrote nothing. */
  readonly changed: boolean;
}

export interface StoreDeps {
  readonly engine: Engine;
  readonly clock: Clock;
  /** Told when the watch on the engine broke and is started again. */
  readonly onError: (what: string, error: IsthmusError) => void;
}

/** A conflict is retried this often before it is reported; each retry means that someone else made progress. */
const MAX_ATTEMPTS = 64;
/** How long a writer waits until its own view has its write, milliseconds. */
const VIEW_DEADLINE_MS = 10_000;

/**
 * The whole datacenter in memory, fed by the engine's watch. Reads are answered from tables; writes go to the engine
 * and resolve once the view shows them.
 */
export class Store implements Service {
  readonly name = 'store';
  readonly topics = new Topics();
  readonly #deps: StoreDeps;
  readonly #tables = new Map<string, Table<never>>();
  readonly #listeners = new Set<(commit: AppliedCommit) => void>();
  readonly #restoreListeners = new Set<() => void>();
  readonly #tasks;
  readonly #waiters = new Map<number, Set<() => void>>();
  #revision = 0;
  #epoch = '';
  #started = false;

  constructor(deps: StoreDeps) {
    this.#deps = deps;
    this.#tasks = createTaskGroup({ clock: deps.clock, onError: (name, error) => deps.onError(name, error) });
  }

  /** The newest revision that the view shows. */
  get revision(): number {
    return this.#revision;
  }

  /** Identity of the history that the view shows. A restore begins another one. */
  get epoch(): string {
    return this.#epoch === '' ? this.#deps.engine.epoch : this.#epoch;
  }

  /** True: other servers write to the same data. */
  get shared(): boolean {
    return this.#deps.engine.shared;
  }

  /** Rows that were put with a lease are deleted when it ends. */
  get leases(): Pick<Engine, 'grantLease' | 'keepLease' | 'revokeLease'> {
    return this.#deps.engine;
  }

  /** Declares a table; before `start`. Names must be unique and none the prefix of another. */
  table<T>(spec: TableSpec<T>): Table<T> {
    invariant(!this.#started, `table ${spec.name} declared after the store was started`);
    invariant(!this.#tables.has(spec.name), `two tables are named ${spec.name}`);
    invariant(!spec.name.includes('/'), `table name ${spec.name} holds a slash`);
    const table = new Table(spec);
    this.#tables.set(spec.name, table as unknown as Table<never>);
    return table;
  }

  /** Calls `listener` for every commit, in order, right after the view shows it; returns the function that ends it. */
  onCommit(listener: (commit: AppliedCommit) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Calls `listener` when the view shows another history: the store was restored, here or on another server. Before,
   * the commit listeners were told the difference. Returns the function that ends it.
   */
  onRestore(listener: () => void): () => void {
    this.#restoreListeners.add(listener);
    return () => this.#restoreListeners.delete(listener);
  }

  async start(_signal: AbortSignal): Promise<void> {
    this.#started = true;
    await this.#load();
    this.#tasks.loop('store view', { backoff: { baseMs: 10, maxMs: 1_000 } }, async (signal, progress) => {
      for (;;) {
        try {
          const commits = this.#deps.engine.watch({
            prefix: '',
            fromRevision: this.#revision + 1,
            signal,
            progress: true,
          });
          for await (const commit of commits) {
            this.#apply(commit);
            progress();
          }
          return;
        } catch (error) {
          if (!hasCode(error, 'compacted')) throw error;
          await this.#load(); // history was cut under us, or replaced: read the whole again and go on from there
          progress();
        }
      }
    });
  }

  async stop(): Promise<void> {
    await this.#tasks.stop();
  }

  /**
   * Runs `step` on the view and commits what it wrote, if nothing that it read has changed; otherwise runs it again on
   * the newer view. `step` must be free of side effects. Errors thrown by it end the transaction with nothing written.
   * Where others write to the same data, a step that writes nothing, or throws, is run again on a view that shows
   * whatever was acknowledged before: it may have decided on what another server has changed since.
   */
  async transact<R>(step: (tx: Tx) => R, signal?: AbortSignal): Promise<TransactResult<R>> {
    let current = !this.shared;
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt += 1) {
      if (signal?.aborted) throw abortReason(signal);
      const tx = new Transaction();
      let result: R;
      try {
        result = step(tx);
      } catch (error) {
        if (current) throw error;
        await this.sync(signal);
        current = true;
        continue;
      }
      const { compare, ops } = tx.build();
      if (ops.length === 0) {
        if (current) return { result, revision: this.#revision, changed: false };
        await this.sync(signal);
        current = true;
        continue;
      }
      const outcome = await this.#deps.engine.txn({ compare, ops });
      await this.waitFor(outcome.revision, signal);
      if (outcome.succeeded) return { result, revision: outcome.revision, changed: true };
    }
    throw new IsthmusError('unavailable', 'too many writers changed the same entries; try again');
  }

  /** See {@link Engine.snapshot}. */
  snapshot(signal: AbortSignal): AsyncIterable<SnapshotPage> {
    return this.#deps.engine.snapshot(signal);
  }

  /**
   * Replaces everything in one step and resolves once the view shows it: the difference is one commit, every topic
   * counts as changed by it, and `epoch` is another one. See {@link Engine.restore}.
   */
  async restore(pages: AsyncIterable<readonly RestoredRow[]>, options: RestoreOptions): Promise<RestoreResult> {
    const restored = await this.#deps.engine.restore(pages, options);
    await this.waitFor(restored.revision);
    return restored;
  }

  /** Resolves once the view shows `revision`. */
  async waitFor(revision: number, signal?: AbortSignal): Promise<void> {
    if (this.#revision >= revision) return;
    if (signal?.aborted) throw abortReason(signal);
    const waiters = this.#waiters.get(revision) ?? new Set();
    this.#waiters.set(revision, waiters);
    // By hand: each write waits here, and a signal with a deadline for each costs a twentieth of a write.
    await new Promise<void>((resolve, reject) => {
      const finish = (): void => {
        limit.cancel();
        signal?.removeEventListener('abort', onAbort);
      };
      const giveUp = (error: IsthmusError): void => {
        finish();
        waiters.delete(wake);
        if (waiters.size === 0 && this.#waiters.get(revision) === waiters) this.#waiters.delete(revision);
        reject(error);
      };
      const wake = (): void => {
        finish();
        resolve();
      };
      const onAbort = (): void => giveUp(abortReason(signal as AbortSignal));
      const limit = this.#deps.clock.after(VIEW_DEADLINE_MS, () => giveUp(lateView(revision)));
      waiters.add(wake);
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  }

  /** Resolves once the view shows whatever was acknowledged to anybody, here or on another server, before the call. */
  async sync(signal?: AbortSignal): Promise<void> {
    await this.waitFor(await this.#deps.engine.currentRevision(), signal);
  }

  /** How well the store's data is reached: while it is not, the view may be old and nothing can be written. */
  contact(): EngineContact {
    return this.#deps.engine.contact();
  }

  /** Reads everything from the engine and shows the difference to what the view had as one commit. */
  async #load(): Promise<void> {
    const { rows, revision, epoch } = await this.#deps.engine.range({ prefix: '' });
    const changes: Change[] = [];
    const seen = new Set<string>();
    for (const row of rows) {
      seen.add(row.key);
      changes.push({ type: 'put', ...row });
    }
    for (const table of this.#tables.values()) {
      for (const row of table.list()) {
        const key = table.prefix + row.key;
        if (!seen.has(key)) changes.push({ type: 'delete', key, modRevision: revision });
      }
    }
    const restored = this.#epoch !== '' && this.#epoch !== epoch;
    this.#epoch = epoch;
    this.#apply({ revision, changes });
    this.topics.raise(revision);
    if (restored) for (const listener of this.#restoreListeners) listener();
  }

  #apply(commit: Commit): void {
    const touched = new Set<string>();
    const rows: RowChange[] = [];
    for (const change of commit.changes) {
      const name = change.key.slice(0, change.key.indexOf('/'));
      const table = this.#tables.get(name);
      if (table === undefined) continue; // written by a newer version: kept in the store, not shown
      const key = change.key.slice(table.prefix.length);
      const known = table.get(key);
      if (known !== undefined && known.modRevision >= change.modRevision && change.type === 'put') continue;
      const { before, after } = table.apply(change);
      touched.add(name);
      for (const side of [before, after]) {
        if (side !== undefined) for (const topic of table.spec.topics?.(side.value) ?? []) touched.add(topic);
      }
      rows.push({ table: name, key, before, after });
    }
    const shown = this.#revision;
    this.#revision = Math.max(this.#revision, commit.revision);
    const applied: AppliedCommit = { revision: commit.revision, changes: rows };
    for (const listener of this.#listeners) listener(applied);
    this.#wakeUpTo(shown); // the writer first: there may be thousands who watch
    this.topics.touch(touched, commit.revision);
  }

  /** Wakes those who wait for revisions after `shown` that the view has now; their number does not matter otherwise. */
  #wakeUpTo(shown: number): void {
    const wake = (revision: number): void => {
      const waiters = this.#waiters.get(revision);
      if (waiters === undefined) return;
      this.#waiters.delete(revision);
      for (const waiter of waiters) waiter();
    };
    if (this.#revision - shown <= this.#waiters.size) {
      for (let revision = shown + 1; revision <= this.#revision; revision += 1) wake(revision);
    } else {
      for (const revision of [...this.#waiters.keys()]) if (revision <= this.#revision) wake(revision);
    }
  }
}

function lateView(revision: number): IsthmusError {
  const text = `the view reaching revision ${revision} did not finish within ${VIEW_DEADLINE_MS} ms`;
  return new IsthmusError('deadline', text);
}

class Transaction implements Tx {
  readonly #compare = new Map<string, Compare>();
  readonly #writes = new Map<string, { op: Op; entity: unknown }>();

  get<T>(table: Table<T>, key: string): T | undefined {
    const written = this.#writes.get(table.prefix + key);
    if (written !== undefined) return written.entity as T | undefined;
    return this.row(table, key)?.value;
  }

  row<T>(table: Table<T>, key: string): Stored<T> | undefined {
    const row = table.get(key);
    const full = table.prefix + key;
    this.#compare.set(full, { key: full, modRevision: row?.modRevision ?? 0 });
    return row;
  }

  put<T>(table: Table<T>, entity: NoInfer<T>, lease?: string): void {
    const key = table.prefix + table.spec.key(entity);
    const { codec } = table.spec;
    const value = codec === undefined ? JSON.stringify(entity) : codec.encode(entity);
    const op: Op = { type: 'put', key, value, ...(lease === undefined ? {} : { lease }) };
    this.#writes.set(key, { op, entity });
  }

  delete<T>(table: Table<T>, key: string): void {
    const full = table.prefix + key;
    this.#writes.set(full, { op: { type: 'delete', key: full }, entity: undefined });
  }

  build(): { compare: Compare[]; ops: Op[] } {
    return { compare: [...this.#compare.values()], ops: [...this.#writes.values()].map((write) => write.op) };
  }
}
