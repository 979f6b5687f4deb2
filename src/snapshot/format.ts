/**
 * The archive of a datacenter's store: a gzip-compressed tar with, in this order,
 * - `metadata.json`: {@link SnapshotMetadata}
 * - `state/00000001.jsonl` and so on: the rows in key order, one JSON array `[key, value]` a line; `value` is the row's
 *   JSON text as the store holds it, so that what a later version wrote into it stays
 * - `SHA256SUMS`: digest and name of every file before it, as `sha256sum` writes them
 * Whatever else is in it, out of order or missing, makes it damaged. See docs/snapshots.md.
 */

/** Grows when an older program must not read the archive. */
export const FORMAT = 1;

export const METADATA_FILE = 'metadata.json';
export const SUMS_FILE = 'SHA256SUMS';

export function stateFile(number: number): string {
  return `state/${String(number).padStart(8, '0')}.jsonl`;
}

/** How the private keys of the CA are kept; in archives of versions up to 0.2 they may be in the clear. */
export type KeysAtRest = 'none' | 'clear' | 'sealed';

/** What an archive says of itself. Fields may be added without another format. */
export interface SnapshotMetadata {
  readonly Format: number;
  readonly ID: string;
  readonly Datacenter: string;
  readonly PrimaryDatacenter: string;
  /** '' while the datacenter does not know it. */
  readonly TrustDomain: string;
  /** The server that wrote it, and the version that it ran. */
  readonly Node: string;
  readonly ProgramVersion: string;
  /** Revision of the state. */
  readonly Index: number;
  /** Identity of the history that the revision belongs to. */
  readonly Epoch: string;
  /** ISO 8601, UTC. */
  readonly Created: string;
  readonly PrivateKeys: KeysAtRest;
  /** What opens them, when they are sealed: the operator's key, or the one in the writer's data directory. */
  readonly SealedWith?: 'ca_key_encryption_file' | 'snapshot.key';
}

/** A key and its value. */
export interface StateRow {
  readonly key: string;
  readonly value: string;
}

/** Largest file within the archive, bytes: what a reader has to hold at once. */
export const MAX_FILE_BYTES = 64 * 1024 * 1024;
