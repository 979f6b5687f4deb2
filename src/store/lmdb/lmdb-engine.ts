import type { RootDatabase } from 'lmdb';
import type { Clock } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { newUuid } from '../../lib/ids.ts';
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
import { checkTxn } from '../keys.ts';
import { Leases } from '../leases.ts';
import { compactedError, restoringError, Watchers } from '../watchers.ts';
import { openEnvironment, reason } from './files.ts';
import { claim, currentOwner, type Owner } from './owner.ts';
import { readRange } from './read.ts';
import { stage } from './restore.ts';
import { Snapshots } from './snapshot.ts';
import { Tables } from './tables.ts';

export interface LmdbEngineOptions {
  /** The store's own folder; made when missing. */
  readonly path: string;
  readonly clock: Clock;
  /** Where the memory map starts, MiB; it grows on its own. Default 1024 (address space, not memory). */
  readonly mapSizeMb?: number;
  /** How many of the newest revisions stay in the history. Default 10,000. */
  readonly keepRevisions?: number;
  /** Told when work that nobody waits for failed: ending a lease. It is tried again. */
  readonly onError: (what: string, error: IsthmusError) => void;
}

/** Transactions that share one disk sync, at most: bounds how long the writing blocks the event loop. */
const GROUP_LIMIT = 512;
/** Commits forgotten beside one group, at most, beyond as many as it adds. */
const FORGET_LIMIT = 256;
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
  const root = openEnvironment(options.path, options.mapSizeMb ?? 1024);
  try {
    const tables = new Tables(root, options.path);
    const owner = currentOwner(newUuid());
    root.transactionSync(() => {
      claim(tables, owner, options.path);
      tables.open(newUuid());
    });
    return new LmdbEngine(root, tables, owner, options);
  } catch (error) {
    await root.close();
    if (error instanceof IsthmusError) throw error;
    throw new IsthmusError('internal', `the store in ${options.path} can't be read: ${reason(error)}`, {
      cause: error,
    });
  }
}

class LmdbEngine implements Engine {
  readonly shared = false;
  readonly #root: RootDatabase;
  readonly #tables: Tables;
  readonly #owner: Owner;
  readonly #options: LmdbEngineOptions;
  readonly #keepRevisions: number;
  readonly #watchers: Watchers;
  readonly #leases: Leases;
  readonly #snapshots: Snapshots;
  #epoch: string;
  #queue: Step[] = [];
  /** A step that shares its transaction with no other. */
  #alone: (() => Promise<void>) | undefined;
  #restoring: Promise<unknown> | undefined;
  #draining: Promise<void> | undefined;
  #closing: Promise<void> | undefined;
  #broken: IsthmusError | undefined;
  /** The newest revision on disk: what watchers may see. */
  #durable: number;
  /** The newest revision of the group being written. */
  #revision: number;
  #compacted: number;
  /** Commits up to this one are no longer on disk; behind #compacted while forgetting is under way. */
  #forgotten: number;
  /** Commits of the group being written. */
  #commits: Commit[] = [];

  constructor(root: RootDatabase, tables: Tables, owner: Owner, options: LmdbEngineOptions) {
    this.#root = root;
    this.#tables = tables;
    this.#owner = owner;
    this.#options = options;
    this.#keepRevisions = options.keepRevisions ?? 10_000;
    this.#epoch = tables.epoch;
    this.#snapshots = new Snapshots(root, tables);
    this.#durable = this.#revision = tables.revision;
    this.#compacted = tables.compacted;
    this.#forgotten = (tables.oldestLogged() ?? this.#revision + 1) - 1;
    this.#leases = new Leases(options.clock, (id) => this.#expire(id));
    this.#loadLeases();
    this.#watchers = new Watchers({
      compacted: () => this.#compacted,
      newest: () => this.#durable,
      read: (from) => tables.commits(from, this.#durable, CATCH_UP),
    });
  }

  contact(): EngineContact {
    return OWN_DATA;
  }

  async currentRevision(): Promise<number> {
    this.#check();
    return this.#durable;
  }

  get epoch(): string {
    return this.#epoch;
  }

  async range(query: RangeQuery): Promise<RangeResult> {
    this.#check();
    this.#root.resetReadTxn(); // else the state of an earlier read in this turn would be answered
    try {
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
      this.#write(txn.ops);
      succeeded = true;
    });
    return { succeeded, revision };
  }

  watch(query: WatchQuery): AsyncIterable<Commit> {
    return this.#watchers.watch(query);
  }

  async compact(revision: number): Promise<void> {
    await this.#submit(() => this.#compactTo(Math.min(revision, this.#revision)));
    while (this.#forgotten < Math.min(revision, this.#compacted)) await this.#submit(() => undefined);
  }

  async grantLease(ttlMs: number): Promise<Lease> {
    const id = newUuid();
    await this.#submit(() => this.#tables.leases.putSync(id, ttlMs));
    this.#leases.grant(id, ttlMs);
    return { id, ttlMs };
  }

  async keepLease(id: string): Promise<void> {
    this.#check();
    this.#leases.keep(id);
  }

  async revokeLease(id: string): Promise<void> {
    await this.#submit(() => {
      if (!this.#leases.has(id)) return;
      this.#leases.end(id); // later steps of this group must not hang keys on it
      this.#write(this.#leases.keysOf(id).map((key) => ({ type: 'delete', key })));
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
    try {
      const check = (): void => {
        this.#check();
        this.#checkOurs();
      };
      await stage(this.#root, this.#tables, pages, check, options.continues !== undefined);
      await this.#runAlone(() => this.#adopt(options));
      return { revision: this.#revision, epoch: this.#epoch };
    } catch (error) {
      await this.#root.childTransaction(() => this.#tables.clearStaged()).catch(() => undefined); // else when it is opened
      throw this.#toFailure(error);
    }
  }

  /** Takes up what a restore has staged: the moment at which the old state gives way to the new one. */
  async #adopt({ above, continues }: RestoreOptions): Promise<void> {
    const revision = Math.max(this.#revision, above) + 1;
    const epoch = continues ?? newUuid();
    const compacted = continues === undefined ? revision : revision - 1;
    await this.#root.childTransaction(() => {
      this.#checkOurs();
      this.#tables.adopt(epoch, revision, compacted);
    });
    this.#tables.adopted(revision);
    this.#epoch = epoch;
    this.#durable = this.#revision = revision;
    this.#compacted = this.#forgotten = compacted;
    this.#leases.reattach([]);
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
    this.#snapshots.close();
    this.#leases.clear();
    this.#watchers.close(closedError());
    this.#root.transactionSync(() => {
      if (this.#isOurs()) this.#tables.meta.putSync('owner', null);
    });
    await this.#root.close();
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
      this.#check(); // what is thrown here rejects
      this.#queue.push({
        apply: () => {
          apply();
          return this.#revision;
        },
        settle: (error, revision) => (error === undefined ? resolve(revision) : reject(error)),
      });
      this.#draining ??= this.#drain();
    });
  }

  /** Writes group after group: while one is being synced, the next gathers. */
  async #drain(): Promise<void> {
    while (this.#queue.length > 0 || this.#alone !== undefined) {
      const alone = this.#alone;
      this.#alone = undefined;
      await (alone === undefined ? this.#writeGroup() : alone());
    }
    this.#draining = undefined;
  }

  /** Runs `step` between two groups. One at a time. */
  #runAlone(step: () => Promise<void>): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#alone = () => step().then(resolve, reject);
      this.#draining ??= this.#drain();
    });
  }

  async #writeGroup(): Promise<void> {
    const done: { step: Step; error: unknown; revision: number }[] = [];
    let taken: Step[] = [];
    try {
      // A child, because only a child is undone when the callback throws.
      await this.#root.childTransaction(() => {
        taken = this.#queue.splice(0, GROUP_LIMIT); // as late as possible: whoever came meanwhile is taken along
        this.#checkOurs();
        for (const step of taken) done.push({ step, ...attempt(step) });
        this.#forget();
        if (this.#commits.length > 0) this.#tables.meta.putSync('revision', this.#revision);
      });
    } catch (error) {
      const failure = this.#toFailure(error);
      if (taken.length === 0) taken = this.#queue.splice(0);
      this.#rollBack(failure);
      for (const step of taken) step.settle(failure, 0);
      return;
    }
    this.#durable = this.#revision;
    const commits = this.#commits;
    this.#commits = [];
    for (const commit of commits) this.#watchers.publish(commit);
    for (const { step, error, revision } of done) step.settle(error, revision);
  }

  #toFailure(error: unknown): IsthmusError {
    if (error instanceof IsthmusError) return error;
    // LMDB's wrapper says why a commit failed in a promise of its own, which may come later.
    const { commitError } = error as { readonly commitError?: Promise<never> };
    commitError?.catch((cause: unknown) => {
      const text = `the store in ${this.#options.path} did not write: ${reason(cause)}`;
      this.#options.onError('writing the store', new IsthmusError('unavailable', text, { cause }));
    });
    const text = `the store in ${this.#options.path} did not write: ${reason(error)}`;
    return new IsthmusError('unavailable', text, { cause: error });
  }

  /** Takes up again what is on disk after a group that was not written; when that fails too, the engine is of no use. */
  #rollBack(failure: IsthmusError): void {
    try {
      this.#commits = [];
      this.#root.resetReadTxn();
      this.#revision = this.#durable = this.#tables.revision;
      this.#compacted = this.#tables.compacted;
      this.#forgotten = (this.#tables.oldestLogged() ?? this.#revision + 1) - 1;
      this.#leases.reattach(this.#tables.leased());
    } catch {
      this.#broken = failure;
      this.#watchers.close(failure);
    }
  }

  #checkOurs(): void {
    if (!this.#isOurs()) throw new IsthmusError('unavailable', 'another process has taken over the store');
  }

  #isOurs(): boolean {
    return (this.#tables.meta.get('owner') as Owner | null)?.token === this.#owner.token;
  }

  /** One commit. Within the group's transaction. */
  #write(ops: readonly Op[]): void {
    const revision = this.#revision + 1;
    const changes: Change[] = [];
    const replaced: (Row | undefined)[] = [];
    for (const op of ops) {
      const before = this.#tables.row(op.key);
      if (op.type === 'delete') {
        if (before === undefined) continue;
        this.#tables.removeRow(op.key);
        this.#hang(op.key, undefined);
        changes.push({ type: 'delete', key: op.key, modRevision: revision });
      } else {
        const createRevision = before?.createRevision ?? revision;
        const row: Row = { key: op.key, value: op.value, createRevision, modRevision: revision };
        this.#tables.putRow(row);
        this.#hang(op.key, op.lease);
        changes.push({ type: 'put', ...row });
      }
      replaced.push(before);
    }
    if (changes.length === 0) return;
    const commit: Commit = { revision, changes };
    this.#tables.log(commit, replaced);
    this.#revision = revision;
    this.#commits.push(commit);
  }

  #hang(key: string, lease: string | undefined): void {
    if (this.#leases.of(key) === lease) return;
    this.#tables.setLease(key, lease);
    this.#leases.attach(key, lease);
  }

  #compactTo(revision: number): void {
    if (revision <= this.#compacted) return;
    this.#compacted = revision;
    this.#tables.meta.putSync('compacted', revision);
  }

  /** Forgets old commits, few at a time, so that no write waits long for it. Within the group's transaction. */
  #forget(): void {
    const step = this.#commits.length + FORGET_LIMIT;
    // Cutting off a few together spares most groups the work.
    const surplus = this.#revision - this.#keepRevisions - this.#compacted;
    if (surplus >= Math.min(FORGET_LIMIT / 4, this.#keepRevisions)) this.#compactTo(this.#compacted + surplus);
    const end = Math.min(this.#compacted, this.#forgotten + step);
    for (let revision = this.#forgotten + 1; revision <= end; revision += 1) this.#tables.unlog(revision);
    if (end > this.#forgotten) this.#forgotten = end;
  }

  #loadLeases(): void {
    for (const { key, value } of this.#tables.leases.getRange()) this.#leases.grant(key, value);
    this.#leases.reattach(this.#tables.leased());
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
