import type { ReadArgs, ReadName, ReadValue } from './reads.ts';
import type { WriteArgs, WriteName, WriteValue } from './writes.ts';

export type Consistency = 'default' | 'stale' | 'consistent';

export interface CallOptions {
  readonly signal: AbortSignal;
  /** Datacenter that answers; absent means the one that is asked. */
  readonly datacenter?: string;
  /** ACL token's secret; absent means anonymous. */
  readonly token?: string;
}

export interface WatchOptions extends CallOptions {
  /** The newest answer of a watch before: while it still is the answer, it need not be sent again. */
  readonly known?: unknown;
}

export interface ReadOptions extends CallOptions {
  readonly consistency?: Consistency;
  /** Block until the answer's index is above this, or `waitMs` has passed. */
  readonly index?: number;
  /** Milliseconds; default 300,000, at most 600,000; jitter of up to 1/16 is added. */
  readonly waitMs?: number;
  /** An agent may answer from what it follows. */
  readonly cached?: boolean;
}

/**
 * An answer that is at hand as a value, as JSON bytes, or both; each form is made once, when first asked for. Answers
 * to repeated reads share one object until their topics change.
 */
export interface ReadResult<T> {
  /** Revision at which the answer last changed, in the datacenter that answered; at least 1. */
  readonly index: number;
  /** False when the answer comes from a view that has lost its store. */
  readonly knownLeader: boolean;
  /** Age of the view, milliseconds. */
  readonly lastContactMs: number;
  readonly value: T;
  readonly json: Buffer;
  /** Present when an agent's cache answered. */
  readonly cache?: CacheFacts;
}

export interface CacheFacts {
  /** The answer was at hand before it was asked for. */
  readonly hit: boolean;
  /** Time since it was last known to be true, milliseconds; 0 while it is followed. */
  readonly ageMs: number;
}

export interface WriteResult<T> {
  readonly value: T;
  /** Revision of the write in the datacenter that decided it. */
  readonly revision: number;
}

/** One message of a watch: the whole answer, each time that it has changed. */
export interface WatchUpdate<T> {
  readonly index: number;
  readonly value: T;
}

/**
 * How everything above the servers reaches them. Two carriers: in process (an agent that is a server), and over the
 * network (client agents, and servers of other datacenters). Every method may fail with any IsthmusError.
 */
export interface ServerContract {
  read<N extends ReadName>(name: N, args: ReadArgs<N>, options: ReadOptions): Promise<ReadResult<ReadValue<N>>>;
  write<N extends WriteName>(name: N, args: WriteArgs<N>, options: CallOptions): Promise<WriteResult<WriteValue<N>>>;
  /** The present answer at once, then every later one; intermediate states may be skipped, the newest never. */
  watch<N extends ReadName>(
    name: N,
    args: ReadArgs<N>,
    options: WatchOptions,
  ): AsyncIterable<WatchUpdate<ReadValue<N>>>;
}
