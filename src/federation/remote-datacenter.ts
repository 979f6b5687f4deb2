import { Backoff } from '../lib/backoff.ts';
import type { Clock } from '../lib/clock.ts';
import { hasCode, IsthmusError } from '../lib/errors.ts';
import { sleep, throwIfAborted, withDeadline } from '../lib/signals.ts';
import type { ChangeSource, ChangesMessage, ChangesRequest } from '../rpc/contract/changes.ts';
import type {
  CallOptions,
  ReadOptions,
  ReadResult,
  ServerContract,
  WatchUpdate,
  WriteResult,
} from '../rpc/contract/contract.ts';
import type { ReadArgs, ReadName, ReadValue } from '../rpc/contract/reads.ts';
import type {
  RestoreCallOptions,
  RestoredSnapshot,
  SavedSnapshot,
  SnapshotContract,
} from '../rpc/contract/snapshots.ts';
import type { WriteArgs, WriteName, WriteValue } from '../rpc/contract/writes.ts';
import type { LinkCarrier } from './outgoing-link.ts';

export interface RemoteDatacenterDeps {
  readonly datacenter: string;
  readonly clock: Clock;
  /** The best link to the datacenter now. @param except one that has just failed */
  readonly pick: (except?: LinkCarrier) => LinkCarrier | undefined;
  /**
   * True: calls reached it moments ago and it is dialled again, or it is the primary and the first links are being
   * made.
   */
  readonly backSoon: () => boolean;
  /** Resolves once there is one. */
  readonly linked: (signal: AbortSignal) => Promise<LinkCarrier>;
}

/** The text is Consul's. */
function noPath(datacenter: string): IsthmusError {
  return new IsthmusError('no_path', 'No path to datacenter', { details: { datacenter } });
}

/**
 * How long a write waits for a link that was just lost, milliseconds: most servers are back, or another is reached, by
 * then.
 */
const BACK_SOON_MS = 2_000;
/** Longest pause before a watch that failed for a passing reason is asked for again, milliseconds. */
const RESUME_MS = 3_000;

/**
 * Another datacenter through whichever link reaches it. Reads fail at once when none does, so that whoever asks can
 * turn to another datacenter; one that failed with one server is asked of another. Writes must go to this one:
 * they wait a moment for a link that was just lost or is being made. A watch waits for a link for ever, and goes on
 * over the next one when it breaks: its first message then is the whole answer again. It ends when it is aborted, or
 * when the other datacenter answers with an error that waiting does not heal.
 */
export class RemoteDatacenter implements ServerContract, ChangeSource, SnapshotContract {
  readonly #deps: RemoteDatacenterDeps;

  constructor(deps: RemoteDatacenterDeps) {
    this.#deps = deps;
  }

  async read<N extends ReadName>(name: N, args: ReadArgs<N>, options: ReadOptions): Promise<ReadResult<ReadValue<N>>> {
    const there = { ...options, datacenter: this.#deps.datacenter };
    const carrier = this.#carrier();
    try {
      return await carrier.contract.read(name, args, there);
    } catch (error) {
      // Another server of the datacenter may answer what this one could not; a write may have been done there.
      const next = hasCode(error, 'unavailable') ? this.#deps.pick(carrier) : undefined;
      if (next === undefined || options.signal.aborted) throw error;
      return next.contract.read(name, args, there);
    }
  }

  async write<N extends WriteName>(
    name: N,
    args: WriteArgs<N>,
    options: CallOptions,
  ): Promise<WriteResult<WriteValue<N>>> {
    const { contract } = this.#deps.pick() ?? (await this.#backSoon(options.signal));
    return contract.write(name, args, { ...options, datacenter: this.#deps.datacenter });
  }

  async *watch<N extends ReadName>(
    name: N,
    args: ReadArgs<N>,
    options: CallOptions,
  ): AsyncIterable<WatchUpdate<ReadValue<N>>> {
    const { signal } = options;
    const backoff = new Backoff({ baseMs: 50, maxMs: RESUME_MS });
    let known: unknown;
    for (;;) {
      const { contract } = await this.#deps.linked(signal);
      try {
        const updates = contract.watch(name, args, { ...options, datacenter: this.#deps.datacenter, known });
        for await (const update of updates) {
          backoff.reset();
          known = update.value;
          yield update;
        }
        throwIfAborted(signal);
      } catch (error) {
        throwIfAborted(signal);
        if (!hasCode(error, 'unavailable', 'no_path', 'deadline', 'cancelled')) throw error;
      }
      await sleep(this.#deps.clock, backoff.next(), signal);
    }
  }

  /** Waits for a link; ends with an error when it breaks: the reader resumes from its own cursor. */
  async *changes(request: ChangesRequest, signal: AbortSignal): AsyncIterable<ChangesMessage> {
    const { changes } = await this.#deps.linked(signal);
    yield* changes.changes(request, signal);
  }

  save(options: CallOptions): Promise<SavedSnapshot> {
    return this.#carrier().snapshots.save({ ...options, datacenter: this.#deps.datacenter });
  }

  restore(archive: AsyncIterable<Uint8Array>, options: RestoreCallOptions): Promise<RestoredSnapshot> {
    return this.#carrier().snapshots.restore(archive, { ...options, datacenter: this.#deps.datacenter });
  }

  async #backSoon(signal: AbortSignal): Promise<LinkCarrier> {
    if (!this.#deps.backSoon()) throw noPath(this.#deps.datacenter);
    const limit = withDeadline(this.#deps.clock, BACK_SOON_MS, 'the wait for a link', signal);
    try {
      return await this.#deps.linked(limit.signal);
    } catch {
      throwIfAborted(signal);
      throw noPath(this.#deps.datacenter);
    } finally {
      limit.release();
    }
  }

  #carrier(): LinkCarrier {
    const carrier = this.#deps.pick();
    if (carrier === undefined) throw noPath(this.#deps.datacenter);
    return carrier;
  }
}
