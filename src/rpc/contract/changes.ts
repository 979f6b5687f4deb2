/**
 * Replication's side of the contract: a table as a snapshot and changes, in the revisions of the datacenter that owns
 * it.
 */

/** How far a reader is: all changes of this history up to this revision are applied. */
export interface ChangesCursor {
  /** Identity of the source's store history. */
  readonly epoch: string;
  readonly revision: number;
  /** A change that was applied. With it the source can tell a reader of its own history from one of a lost future. */
  readonly proof?: ChangeProof;
}

export interface ChangeProof {
  readonly key: string;
  readonly revision: number;
  /** SHA-256 of the row's JSON, of nothing when it was deleted; base64. */
  readonly digest: string;
}

/** One row as a commit left it. */
export interface RowDelta {
  /** Key within the table. */
  readonly key: string;
  /** Revision of the commit. */
  readonly revision: number;
  /** The entity as it is stored; absent when the row was deleted. */
  readonly json?: Buffer;
}

/** `begin` comes first; then a snapshot, when it said so; then changes and progress until the caller aborts. */
export type ChangesMessage =
  | {
      readonly type: 'begin';
      readonly epoch: string;
      /** Newest revision of the source. */
      readonly revision: number;
      /** True: rows follow. False: changes after the cursor follow. */
      readonly snapshot: boolean;
      readonly datacenter: string;
      /** True: the cursor does not belong to the source's history, although the epoch is the same; nothing follows. */
      readonly diverged?: boolean;
      /** True: the cursor was found to belong to the source's history, so a snapshot is a later state of the same. */
      readonly proven?: boolean;
    }
  /** Some of the rows at the revision of `begin`. */
  | { readonly type: 'snapshot'; readonly changes: readonly RowDelta[] }
  | { readonly type: 'snapshotEnd'; readonly revision: number }
  /** `revision` is 0 when more of the same commit follows, else all changes up to it have been sent. */
  | { readonly type: 'changes'; readonly changes: readonly RowDelta[]; readonly revision: number }
  /** All changes up to `revision` have been sent. Sent at least every two seconds: silence means a broken link. */
  | { readonly type: 'progress'; readonly revision: number };

export interface ChangesRequest {
  /** Replication kind: which table. */
  readonly kind: string;
  /** Secret of the replication token. */
  readonly token?: string;
  /** Absent: a snapshot is wanted. */
  readonly cursor?: ChangesCursor;
}

/** A datacenter whose tables can be followed. */
export interface ChangeSource {
  changes(request: ChangesRequest, signal: AbortSignal): AsyncIterable<ChangesMessage>;
}
