import type { CallOptions } from './contract.ts';

export interface SavedSnapshot {
  /** Revision of the state. */
  readonly index: number;
  /** The archive, piece by piece. Fails when it can't be made whole; a part of it is of no use. */
  readonly archive: AsyncIterable<Uint8Array>;
}

export interface RestoreCallOptions extends CallOptions {
  /** Also a snapshot of another datacenter or trust domain. */
  readonly force?: boolean;
}

export interface RestoredSnapshot {
  /** Revision of the restored state. */
  readonly index: number;
}

/** A datacenter's whole store, out and in. Takes all rights. Carried beside the server contract: it is no JSON. */
export interface SnapshotContract {
  save(options: CallOptions): Promise<SavedSnapshot>;
  /** All or nothing: what is refused, or breaks off, has changed nothing. */
  restore(archive: AsyncIterable<Uint8Array>, options: RestoreCallOptions): Promise<RestoredSnapshot>;
}
