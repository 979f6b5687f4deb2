import { closeSync } from 'node:fs';
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
import { reason, requireRoom, writeFailure } from './failure.ts';
import { Journal } from './journal.ts';
import { type Opened, type OpenOptions, openTables } from './open.ts';
import { currentOwner, type Owner } from './owner.ts';
import { readRange } from './read.ts';
import { stage } from './restore.ts';
import { Snapshots } from './snapshot.ts';
import type { Tables } from './tables.ts';

export interface LmdbEngineOptions extends OpenOptions {
  readonly clock: Clock;
  /** How many of the newest revisions stay in the history. Default 10,000. */
  readonly keepRevisions?: number;
  /** Called when the store can no longer be written, once until it can be; and when ending a lease failed. */
  readonly onError: (what: string, error: IsthmusError) => void;
  /** Called when it can be written again. */
  readonly onWritable?: () => void;
}

/** Transactions that share one disk sync, at most: bounds how long the writing blocks the event loop. */
const GROUP_LIMIT = 512;
/** Commits that a watcher which catches up reads at a time. */
const CATCH_UP = 256;
/** When a lease that could not be ended is tried again, milliseconds. */
const LEASE_RETRY_MS = 1_000;

/** A step that waits for its group. `apply` runs within the group's transaction and must throw before it writes. */
interface Step {
  apply(): number;
  settle(error: unknown, revision: number): void;
}

/** Opens the embedded store. Throws when the folder holds something else or another process has it open. */
export async function openLmdbEngine(options: LmdbEngineOptions): Promise<Engine> {
  const owner = currentOwner(newUuid());
  return new LmdbEngine(await openTables(options, owner), owner, options);
}

class LmdbEngine implements Engine {
  readonly shared = false;
  readonly #lockFile: number;
  readonly #root: RootDatabase;
  readonly #tables: Tables;
  readonly #owner: Owner;
  readonly #options: LmdbEngineOptions;
  readonly #watchers: Watchers;
  readonly #leases: Leases;
  readonly #snapshots: Snapshots;
  /** One transaction at a time: one that begins after another has failed for good never returns. */
  readonly #turns = new Mutex();
  #epoch: string;
  #queue: Step[] = [];
  #restoring: Promise<unknown> | undefined;
  #draining: Promise<void> | undefined;
  #closing: Promise<void> | undefined;
  /** Why nothing is written any more: LMDB does not go on when its first pages could not be written. */
  #broken: IsthmusError | undefined;
  /** False from a write that failed to the next one that did not. */
  #writable = true;
  readonly #journal: Journal;

  constructor(opened: Opened, owner: Owner, options: LmdbEngineOptions) {
    const { root, tables, lockFile } = opened;
    this.#root = root;
    this.#lockFile = lockFile;
    this.#tables = tables;
    this.#owner = owner;
    this.#options = options;
    this.#epoch = tables.epoch;
    this.#snapshots = new Snapshots(root, tables);
    this.#leases = new Leases(options.clock, (id) => this.#expire(id));
    this.#journal = new Journal(tables, this.#leases, options.keepRevisions ?? 10_000);
    for (const { key, value } of tables.leases.getRange()) this.#leases.grant(key, value);
    this.#leases.reattach(tables.leased());
    this.#watchers = new Watchers({
      compacted: () => this.#journal.compacted,
      newest: () => this.#journal.durable,
      read: (from) => tables.commits(from, this.#journal.durable, CATCH_UP),
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
    const revision = await this.#submit(() => {
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
    await this.#submit(() => this.#journal.compactTo(Math.min(revision, this.#journal.revision)));
    while (!this.#journal.hasForgotten(revision)) await this.#submit(() => undefined);
  }

  async grantLease(ttlMs: number): Promise<Lease> {
    const id = newUuid();
    await this.#submit(() => this.#tables.leases.putSync(id, ttlMs));
    this.#leases.grant(id, ttlMs);
    return { id, ttlMs };
  }

  async keepLease(id: string): Promise<void> {
    if (this.#closing !== undefined) throw closedError();
    this.#leases.keep(id);
  }

  async revokeLease(id: string): Promise<void> {
    await this.#submit(() => {
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
    const step = (write: (tables: Tables) => void): Promise<void> =>
      this.#turns.run(() =>
        this.#transact(() => {
          if (this.#closing !== undefined) throw closedError();
          write(this.#tables);
        }),
      );
    try {
      this.#tables.prepareStaged();
      await stage(step, pages, options.continues !== undefined);
      await this.#turns.run(() => this.#adopt(options));
      return { revision: this.#journal.revision, epoch: this.#epoch };
    } catch (error) {
      await step((staged) => staged.clearStaged()).catch(() => undefined); // else when it is opened
      throw await writeFailure(this.#options.path, error);
    }
  }

  /** Takes up what a restore has staged: the moment at which the old state gives way to the new one. */
  async #adopt({ above, continues }: RestoreOptions): Promise<void> {
    const revision = Math.max(this.#journal.revision, above) + 1;
    const epoch = continues ?? newUuid();
    const compacted = continues === undefined ? revision : revision - 1;
    await this.#transact(() => this.#tables.adopt(epoch, revision, compacted));
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
    if (this.#broken !== undefined) return; // to close it then would end the process: LMDB's memory is damaged
    try {
      this.#root.transactionSync(() => {
        if (this.#isOurs()) this.#tables.meta.putSync('owner', null);
      });
    } catch (error) {
      // The mark of a process that is gone does not count.
      this.#options.onError('closing the store', await writeFailure(this.#options.path, error));
    }
    await this.#root.close();
    closeSync(this.#lockFile);
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
  #submit(apply: () => void): Promise<number> {
    return new Promise((resolve, reject) => {
      if (this.#closing !== undefined) throw closedError(); // rejects
      this.#queue.push({
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
    try {
      await this.#transact(() => {
        taken = this.#queue.splice(0, GROUP_LIMIT); // as late as possible: whoever came meanwhile is taken along
        for (const step of taken) done.push({ step, ...attempt(step) });
        this.#journal.seal();
      });
    } catch (error) {
      if (taken.length === 0) taken = this.#queue.splice(0);
      for (const step of taken) step.settle(error, 0);
      return;
    }
    for (const commit of this.#journal.written()) this.#watchers.publish(commit);
    for (const { step, error, revision } of done) step.settle(error, revision);
  }

  /** One transaction. When it can't be written, what is on disk is taken up again. Throws IsthmusErrors only. */
  async #transact(write: () => void): Promise<void> {
    try {
      if (this.#broken !== undefined) throw this.#broken;
      requireRoom(this.#options.path);
      // A child, because only a child is undone when the callback throws.
      await this.#root.childTransaction(() => {
        this.#checkOurs();
        write();
      });
      if (!this.#writable) {
        this.#writable = true;
        this.#options.onWritable?.();
      }
    } catch (error) {
      const failure = await writeFailure(this.#options.path, error);
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
      const text = `${failure.message}; start the agent again once the disk works: the store must be opened anew`;
      this.#broken = new IsthmusError('unavailable', text, { cause: failure });
    }
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

function closedError(): IsthmusError {
  return new IsthmusError('unavailable', 'the store is closed');
}
