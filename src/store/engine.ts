/**
 * What a datacenter's store is made of: keys with values, one revision for each commit, and watches. etcd's model.
 * `test/contract/store-engine.ts` is the suite that every engine passes.
 */

/** One key at one revision. Values are JSON texts; engines don't look inside. */
export interface Row {
  readonly key: string;
  readonly value: string;
  /** Revision of the commit that created the key (again, if it had been deleted). */
  readonly createRevision: number;
  /** Revision of the commit that wrote this value. */
  readonly modRevision: number;
}

export interface RangeQuery {
  /** All keys that start with it, in byte order. '' is the whole store. */
  readonly prefix: string;
  /** The state at this revision; default the newest. Throws `compacted` when it is no longer held. */
  readonly revision?: number;
  /** Rows at most; default all. */
  readonly limit?: number;
  /** Only keys after this one (for paging). */
  readonly after?: string;
}

export interface RangeResult {
  readonly rows: readonly Row[];
  /** Revision of the state that was read. */
  readonly revision: number;
  /** The history that the revision belongs to. */
  readonly epoch: string;
  /** True when `limit` cut the answer. */
  readonly more: boolean;
}

/** Holds when the key's modRevision is exactly this; 0 means that the key doesn't exist. */
export interface Compare {
  readonly key: string;
  readonly modRevision: number;
}

export type Op =
  | { readonly type: 'put'; readonly key: string; readonly value: string; readonly lease?: string }
  | { readonly type: 'delete'; readonly key: string };

export interface Txn {
  readonly compare: readonly Compare[];
  /** Each key at most once. */
  readonly ops: readonly Op[];
}

export interface TxnResult {
  /** False when a comparison failed; nothing was written then. */
  readonly succeeded: boolean;
  /** The commit's revision; the newest revision when nothing was written (no change makes no revision). */
  readonly revision: number;
}

export type Change =
  | ({ readonly type: 'put' } & Row)
  | { readonly type: 'delete'; readonly key: string; readonly modRevision: number };

/** All that one commit changed. */
export interface Commit {
  readonly revision: number;
  readonly changes: readonly Change[];
}

export interface WatchQuery {
  readonly prefix: string;
  /**
   * The first revision wanted. Throws `compacted` when it is no longer held, with `details.revision` the oldest held.
   */
  readonly fromRevision: number;
  readonly signal: AbortSignal;
  /**
   * True: commits without changes come too where they are needed, so that the watch passes every revision that the
   * engine has told anybody. Revisions have gaps where others write into the same etcd.
   */
  readonly progress?: boolean;
}

export interface Lease {
  readonly id: string;
  readonly ttlMs: number;
}

/** How well an engine reaches its data. */
export interface EngineContact {
  /** False while nothing can be written and what is read may be old. */
  readonly connected: boolean;
  /** Time since the data last answered, milliseconds; 0 in an engine that holds it in this process. */
  readonly lastMs: number;
  /** False from a write that failed, because of the disk, to the next one that did not; reads are right meanwhile. */
  readonly writable: boolean;
}

/** The contact of engines that hold their data in this process. */
export const OWN_DATA: EngineContact = { connected: true, lastMs: 0, writable: true };

/** One page of a {@link Engine.snapshot}; all its pages tell the same epoch and revision. */
export interface SnapshotPage {
  readonly epoch: string;
  readonly revision: number;
  readonly rows: readonly Row[];
}

/** What a restore writes. Revisions are taken over only by one that continues a history. */
export type RestoredRow = Pick<Row, 'key' | 'value'> & Partial<Row>;

export interface RestoreOptions {
  /** The restored state's revision is above this one, and above every earlier one of the store. */
  readonly above: number;
  /**
   * The epoch of the store that the rows come from, when this one goes on with its history in its place: rows keep the
   * revisions they come with, none of which is above `above`, and whoever has seen that one can watch on from there.
   * Absent: a new history begins.
   */
  readonly continues?: string;
}

export interface RestoreResult {
  /** Revision of the restored state. */
  readonly revision: number;
  readonly epoch: string;
}

export interface Engine {
  /** Identity of this history: new when the store is created or restored, the same over restarts. */
  readonly epoch: string;
  /** True: others write to the same data, so that what this process knows of it may be old. */
  readonly shared: boolean;
  contact(): EngineContact;
  /** The newest revision of all who write: whatever was acknowledged to anybody before the call is at or below it. */
  currentRevision(): Promise<number>;
  range(query: RangeQuery): Promise<RangeResult>;
  /** Resolves once the commit is durable. */
  txn(txn: Txn): Promise<TxnResult>;
  /**
   * Every commit from `fromRevision` on that touches the prefix, in order, none left out, until `signal` aborts. Don't
   * take the next revision for this one plus one.
   */
  watch(query: WatchQuery): AsyncIterable<Commit>;
  /** Forgets history before `revision` (the newest values stay). */
  compact(revision: number): Promise<void>;
  /** Keys put with a lease are deleted when it ends. */
  grantLease(ttlMs: number): Promise<Lease>;
  /** Throws `not_found` when the lease has ended. */
  keepLease(id: string): Promise<void>;
  revokeLease(id: string): Promise<void>;
  /**
   * The whole store at one revision, page by page in key order, at least one page; writes go on meanwhile. Rows
   * attached to a lease are left out: they say who is connected now, which is true of no other time.
   */
  snapshot(signal: AbortSignal): AsyncIterable<SnapshotPage>;
  /**
   * Replaces everything by `pages` (in key order, else `invalid_argument`) in one step: after a crash at any moment the
   * store holds all of the old or all of the new. It starts a new history: another epoch, and one revision for all rows
   * (as created and as modified), above all earlier ones. Watches end with `compacted`; leases live on without keys.
   * When `pages` fails, nothing has changed. One restore at a time; another one meanwhile fails with `unavailable`.
   */
  restore(pages: AsyncIterable<readonly RestoredRow[]>, options: RestoreOptions): Promise<RestoreResult>;
  close(): Promise<void>;
}
