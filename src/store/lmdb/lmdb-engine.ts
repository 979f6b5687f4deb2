import { closeSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import type { RootDatabase } from 'lmdb';
import type { Clock } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { newUuid } from '../../lib/ids.ts';
import { Mutex } from '../../lib/mutex.ts';
import {
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
  type SnapshotPage,
  type Txn,
  type TxnResult,
  type WatchQuery,
} from '../engine.ts';
import { checkTxn } from '../keys.ts';
import { Leases } from '../leases.ts';
import { compactedError, restoringError, Watchers } from '../watchers.ts';
import { DiskGuard } from './disk-guard.ts';
import { reason, writeFailure } from './failure.ts';
import { DATA_FILE } from './files.ts';
import { Journal } from './journal.ts';
import { type Opened, type OpenOptions, openTables } from './open.ts';
import { currentOwner, type Owner } from './owner.ts';
import { readRange } from './read.ts';
import { stage } from './restore.ts';
import { Snapshots } from './snapshot.ts';
import type { Tables } from './tables.ts';

export interface LmdbEngineOptions extends OpenOptions {
  readonly clock: Clock;
  /** How many of the newest revisions stay in the history. Default {@link KEEP_REVISIONS}. */
  readonly keepRevisions?: number;
  /** Called when the store can no longer be written, once until it can be; and when ending a lease failed. */
  readonly onError: (what: string, error: IsthmusError) => void;
  /** Called when it can be written again. */
  readonly onWritable?: () => void;
}

const KEEP_REVISIONS = 10_000;
/** Transactions that share one disk sync, at most: bounds how long the writing blocks the event loop. */
const GROUP_LIMIT = 512;
/** Commits that a watcher which catches up reads at a time. */
const CATCH_UP = 256;
/** When a lease that could not be ended is tried again, milliseconds. */
const LEASE_RETRY_MS = 1_000;

/** What a group may take beyond what waits when it begins, bytes: for those who come meanwhile. */
const GROUP_SPARE = 1024 * 1024;
/** What an operation may take whatever its size, bytes: copies of the pages that it changes. */
const OP_COST = 16 * 1024;
/** Times that an operation's text may be written: the row, and with what it replaced in the history; in UTF-8. */
const TEXT_COST = 10;

/** A step that waits for its group. `apply` runs within the group's transaction and must throw before it writes. */
interface Step {
  /** Bytes that it may take on the disk. */
  readonly cost: number;
  apply(): number;
  settle(error: unknown, revision: number): void;
}

/** Opens the embedded store. Throws when the folder holds something else or another process has it open. */
export async function openLmdbEngine(options: LmdbEngineOptions): Promise<Engine> {
  const owner = currentOwner(newUuid());
  const guard = new DiskGuard(options.path);
  try {
    if (existsSync(join(options.path, DATA_FILE))) await guard.ready(undefined, 0);
    return new LmdbEngine(await openTables(options, owner), owner, guard, options);
  } catch (error) {
    await guard.close();
    if (error instanceof IsthmusError) throw error;
    throw new IsthmusError('internal', `the store in ${options.path} can't be opened: ${reason(error)}`, {
      cause: error,
    });
  }
}

class LmdbEngine implements Engine {
  readonly shared = false;
  #lockFile: number;
  #root: RootDatabase;
  #tables: Tables;
  readonly #owner: Owner;
  readonly #guard: DiskGuard;
  readonly #options: LmdbEngineOptions;
  readonly #watchers: Watchers;
  readonly #leases: Leases;
  #snapshots: Snapshots;
  /** One transaction at a time: one that begins after another has failed for good never returns. */
  readonly #turns = new Mutex();
  #epoch: string;
  #queue: Step[] = [];
  #restoring: Promise<unknown> | undefined;
  #draining: Promise<void> | undefined;
  #closing: Promise<void> | undefined;
  /** Why it must be opened anew before the next write: LMDB does not go on when its first pages were not written. */
  #broken: IsthmusError | undefined;
  /** False while an environment that broke is closed. */
  #opened = true;
  /** Times that it was opened anew: what a restore has staged does not outlive one. */
  #opening = 0;
  /** False from a write that failed to the next one that did not. */
  #writable = true;
  #journal: Journal;

  constructor(opened: Opened, owner: Owner, guard: DiskGuard, options: LmdbEngineOptions) {
    const { root, tables, lockFile } = opened;
    this.#root = root;
    this.#lockFile = lockFile;
    this.#tables = tables;
    this.#owner = owner;
    this.#guard = guard;
    this.#options = options;
    this.#epoch = tables.epoch;
    this.#snapshots = new Snapshots(root, tables);
    this.#leases = new Leases(options.clock, (id) => this.#expire(id));
    this.#journal = new Journal(tables, this.#leases, options.keepRevisions ?? KEEP_REVISIONS);
    for (const { key, value } of tables.leases.getRange()) this.#leases.grant(key, value);
    this.#leases.reattach(tables.leased());
    this.#watchers = new Watchers({
      compacted: () => this.#journal.compacted,
      newest: () => this.#journal.durable,
      read: (from) => this.#tables.commits(from, this.#journal.durable, CATCH_UP),
    });
  }

  contact(): EngineContact {
    return { ...OWN_DATA, writable: this.#writable };
  }

  async currentRevision(): Promise<number> {
    if (this.#closing !== undefined) throw closedError();
    return this.#journal.durable;
  }

  get epoch(): string {
    return this.#epoch;
  }

  async range(query: RangeQuery): Promise<RangeResult> {
    this.#check();
    try {
      this.#root.resetReadTxn(); // else the state of an earlier read in this turn would be answered
      return { ...readRange(this.#tables, query), epoch: this.#epoch };
    } catch (error) {
      if (error instanceof IsthmusError) throw error;
      throw new IsthmusError('internal', `the store in ${this.#options.path} can't be read: ${reason(error)}`, {
        cause: error,
      });
    }
  }

  async txn(txn: Txn): Promise<TxnResult> {
    checkTxn(txn);
    let succeeded = false;
    const revision = await this.#submit(costOf(txn.ops), () => {
      for (const { key, modRevision } of txn.compare) {
        if ((this.#tables.row(key)?.modRevision ?? 0) !== modRevision) return;
      }
      for (const op of txn.ops) if (op.type === 'put' && op.lease !== undefined) this.#leases.require(op.lease);
      this.#journal.write(txn.ops);
      succeeded = true;
    });
    return { succeeded, revision };
  }

  watch(query: WatchQuery): AsyncIterable<Commit> {
    return this.#watchers.watch(query);
  }

  async compact(revision: number): Promise<void> {
    await this.#submit(OP_COST, () => this.#journal.compactTo(Math.min(revision, this.#journal.revision)));
    while (!this.#journal.hasForgotten(revision)) await this.#submit(OP_COST, () => undefined);
  }

  async grantLease(ttlMs: number): Promise<Lease> {
    const id = newUuid();
    await this.#submit(OP_COST, () => this.#tables.leases.putSync(id, ttlMs));
    this.#leases.grant(id, ttlMs);
    return { id, ttlMs };
  }

  async keepLease(id: string): Promise<void> {
    if (this.#closing !== undefined) throw closedError();
    this.#leases.keep(id);
  }

  async revokeLease(id: string): Promise<void> {
    await this.#submit(OP_COST * (1 + this.#leases.keysOf(id).length), () => {
      if (!this.#leases.has(id)) return;
      this.#leases.end(id); // later steps of this group must not hang keys on it
      this.#journal.write(this.#leases.keysOf(id).map((key) => ({ type: 'delete', key })));
      this.#tables.leases.removeSync(id);
    });
    this.#leases.remove(id);
  }

  snapshot(signal: AbortSignal): AsyncIterable<SnapshotPage> {
    return this.#snapshots.read(() => this.#check(), signal);
  }

  async restore(pages: AsyncIterable<readonly RestoredRow[]>, options: RestoreOptions): Promise<RestoreResult> {
    this.#check();
    if (this.#restoring !== undefined) throw restoringError();
    const work = this.#restore(pages, options);
    this.#restoring = work.catch(() => undefined);
    try {
      return await work;
    } finally {
      this.#restoring = undefined;
    }
  }

  async #restore(pages: AsyncIterable<readonly RestoredRow[]>, options: RestoreOptions): Promise<RestoreResult> {
    const opening = this.#opening;
    const step = (rows: readonly RestoredRow[], write: (tables: Tables) => void): Promise<void> =>
      this.#turns.run(() =>
        this.#transact(costOf(rows), () => {
          if (this.#closing !== undefined) throw closedError();
          if (this.#opening !== opening) throw reopenedError();
          write(this.#tables);
          return undefined;
        }),
      );
    try {
      this.#tables.prepareStaged();
      await stage(step, pages, options.continues !== undefined);
      await this.#turns.run(() => this.#adopt(options, opening));
      return { revision: this.#journal.revision, epoch: this.#epoch };
    } catch (error) {
      await step([], (staged) => staged.clearStaged()).catch(() => undefined); // else when it is opened
      throw await writeFailure(this.#options.path, error);
    }
  }

  /** Takes up what a restore has staged: the moment at which the old state gives way to the new one. */
  async #adopt({ above, continues }: RestoreOptions, opening: number): Promise<void> {
    const revision = Math.max(this.#journal.revision, above) + 1;
    const epoch = continues ?? newUuid();
    const compacted = continues === undefined ? revision : revision - 1;
    await this.#transact(OP_COST, () => {
      if (this.#opening !== opening) throw reopenedError();
      this.#tables.adopt(epoch, revision, compacted);
      return undefined;
    });
    this.#tables.adopted(revision);
    this.#epoch = epoch;
    this.#journal.takeUp();
    this.#watchers.interrupt(compactedError(compacted));
  }

  /** Writes what was asked for before, then lets go of the folder. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#restoring;
    await this.#draining;
    this.#leases.clear();
    this.#watchers.close(closedError());
    this.#snapshots.close();
    try {
      if (this.#broken !== undefined) throw this.#broken;
      await this.#guard.ready(this.#root, OP_COST);
      this.#root.transactionSync(() => {
        if (this.#isOurs()) this.#tables.meta.putSync('owner', null);
      });
    } catch (error) {
      // The mark of a process that is gone does not count.
      this.#options.onError('closing the store', await writeFailure(this.#options.path, error));
    }
    await this.#guard.close();
    if (this.#opened) await this.#letGo();
  }

  #check(): void {
    if (this.#closing !== undefined) throw closedError();
    if (this.#broken !== undefined) throw this.#broken;
  }

  #expire(id: string): void {
    if (this.#closing !== undefined) return;
    this.revokeLease(id).catch((error: unknown) => {
      if (this.#closing !== undefined) return;
      this.#options.onError('ending a lease', IsthmusError.from(error));
      this.#leases.retry(id, LEASE_RETRY_MS);
    });
  }

  /** Queues a step; resolves with the newest revision once the step's group is on disk. */
  #submit(cost: number, apply: () => void): Promise<number> {
    return new Promise((resolve, reject) => {
      if (this.#closing !== undefined) throw closedError(); // rejects
      this.#queue.push({
        cost,
        apply: () => {
          apply();
          return this.#journal.revision;
        },
        settle: (error, revision) => (error === undefined ? resolve(revision) : reject(error)),
      });
      this.#draining ??= this.#drain();
    });
  }

  /** Writes group after group: while one is being synced, the next gathers. */
  async #drain(): Promise<void> {
    while (this.#queue.length > 0) await this.#turns.run(() => this.#writeGroup());
    this.#draining = undefined;
  }

  async #writeGroup(): Promise<void> {
    const done: { step: Step; error: unknown; revision: number }[] = [];
    let taken: Step[] = [];
    let room = GROUP_SPARE;
    for (const { cost } of this.#queue.slice(0, GROUP_LIMIT)) room += cost;
    try {
      await this.#transact(room, () => {
        let count = 0; // as late as possible: whoever came meanwhile is taken along
        let cost = 0;
        for (const step of this.#queue.slice(0, GROUP_LIMIT)) {
          if (cost + step.cost > room) break;
          cost += step.cost;
          count += 1;
        }
        taken = this.#queue.splice(0, count);
        for (const step of taken) done.push({ step, ...attempt(step) });
        this.#journal.seal();
        return cost;
      });
    } catch (error) {
      if (taken.length === 0) taken = this.#queue.splice(0);
      for (const step of taken) step.settle(error, 0);
      return;
    }
    for (const commit of this.#journal.written()) this.#watchers.publish(commit);
    for (const { step, error, revision } of done) step.settle(error, revision);
  }

  /**
   * One transaction, of `cost` bytes at most; `write` may return what it really took at most. When it can't be written,
   * what is on disk is taken up again. Throws IsthmusErrors only.
   */
  async #transact(cost: number, write: () => number | undefined): Promise<void> {
    try {
      await this.#guard.ready(this.#broken === undefined ? this.#root : undefined, cost);
      if (this.#broken !== undefined) {
        await this.#reopen();
        await this.#guard.ready(this.#root, cost);
      }
      // A child, because only a child is undone when the callback throws.
      await this.#root.childTransaction(() => {
        this.#checkOurs();
        this.#guard.spent(write() ?? cost);
        this.#guard.still();
      });
      if (!this.#writable) {
        this.#writable = true;
        this.#options.onWritable?.();
      }
    } catch (error) {
      const failure = await writeFailure(this.#options.path, error);
      if (failure !== error) this.#guard.failed();
      this.#rollBack(failure);
      if (failure !== error && this.#writable) {
        this.#writable = false;
        this.#options.onError('writing the store', failure);
      }
      throw failure;
    }
  }

  /** Takes up again what is on disk. LMDB refuses that too after a failure that it does not go on from. */
  #rollBack(failure: IsthmusError): void {
    if (this.#broken !== undefined) return;
    try {
      this.#root.resetReadTxn();
      this.#journal.takeUp();
    } catch {
      this.#broken = failure;
    }
  }

  /** Opens the environment anew, in a turn. */
  async #reopen(): Promise<void> {
    this.#snapshots.close();
    if (this.#opened) await this.#letGo();
    const { root, tables, lockFile } = await openTables(this.#options, this.#owner).catch((error: unknown) => {
      throw new IsthmusError('unavailable', IsthmusError.from(error).message, { cause: error });
    });
    this.#root = root;
    this.#tables = tables;
    this.#lockFile = lockFile;
    this.#opened = true;
    this.#opening += 1;
    this.#snapshots = new Snapshots(root, tables);
    const seen = this.#journal.durable;
    this.#journal = new Journal(tables, this.#leases, this.#options.keepRevisions ?? KEEP_REVISIONS);
    this.#broken = undefined;
    // What failed may be on disk nevertheless.
    if (tables.epoch !== this.#epoch) {
      this.#epoch = tables.epoch;
      this.#watchers.interrupt(compactedError(this.#journal.compacted));
    }
    for (let from = seen + 1; from <= this.#journal.durable; ) {
      const commits = tables.commits(from, this.#journal.durable, CATCH_UP);
      for (const commit of commits) this.#watchers.publish(commit);
      from = (commits.at(-1)?.revision ?? this.#journal.durable) + 1;
    }
  }

  async #letGo(): Promise<void> {
    this.#opened = false;
    await this.#root.close();
    closeSync(this.#lockFile);
  }

  #checkOurs(): void {
    if (!this.#isOurs()) throw new IsthmusError('unavailable', 'another process has taken over the store');
  }

  #isOurs(): boolean {
    return (this.#tables.meta.get('owner') as Owner | null)?.token === this.#owner.token;
  }
}

function attempt(step: Step): { error: unknown; revision: number } {
  try {
    return { error: undefined, revision: step.apply() };
  } catch (error) {
    // Ours come before the step writes; anything else may come in the middle and undoes the whole group.
    if (error instanceof IsthmusError) return { error, revision: 0 };
    throw error;
  }
}

function costOf(ops: readonly (Op | RestoredRow)[]): number {
  let cost = OP_COST;
  for (const op of ops) cost += OP_COST + TEXT_COST * (op.key.length + ('value' in op ? op.value.length : 0));
  return cost;
}

function reopenedError(): IsthmusError {
  return new IsthmusError('unavailable', 'the store was opened anew after a failure of its disk; restore again');
}

function closedError(): IsthmusError {
  return new IsthmusError('unavailable', 'the store is closed');
}
