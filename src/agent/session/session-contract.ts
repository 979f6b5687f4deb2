import type { Clock } from '../../lib/clock.ts';
import { hasCode, IsthmusError } from '../../lib/errors.ts';
import { abortable, abortReason, withDeadline } from '../../lib/signals.ts';
import type {
  CallOptions,
  ReadOptions,
  ReadResult,
  ServerContract,
  WatchOptions,
  WatchUpdate,
  WriteResult,
} from '../../rpc/contract/contract.ts';
import type { ReadArgs, ReadName, ReadValue } from '../../rpc/contract/reads.ts';
import type {
  RestoreCallOptions,
  RestoredSnapshot,
  SavedSnapshot,
  SnapshotContract,
} from '../../rpc/contract/snapshots.ts';
import { WRITES, type WriteArgs, type WriteName, type WriteValue } from '../../rpc/contract/writes.ts';
import type { ServerSession } from './server-session.ts';

export interface SessionContractDeps {
  readonly datacenter: string;
  readonly sessions: {
    readonly current: ServerSession | undefined;
    readonly problem: string;
    connected(signal: AbortSignal): Promise<ServerSession>;
  };
  readonly clock: Clock;
  /** How long a call waits for a session, milliseconds. Default 7,000, as Consul's rpc_hold_timeout. */
  readonly holdMs?: number;
}

const DEFAULT_HOLD_MS = 7_000;
/** A call that failed with its connection waits this long for the session to be found lost too, milliseconds. */
const LOST_WITHIN_MS = 200;

/**
 * The server contract over whichever session there is. Calls wait a while for one; reads whose server is lost are asked
 * again of the next. A watch ends with its session: whoever follows knows then since when the answer may be old.
 */
export class SessionContract implements ServerContract, SnapshotContract {
  readonly #deps: SessionContractDeps;

  constructor(deps: SessionContractDeps) {
    this.#deps = deps;
  }

  read<N extends ReadName>(name: N, args: ReadArgs<N>, options: ReadOptions): Promise<ReadResult<ReadValue<N>>> {
    return this.#call(true, options.signal, ({ contract }) => contract.read(name, args, options));
  }

  write<N extends WriteName>(name: N, args: WriteArgs<N>, options: CallOptions): Promise<WriteResult<WriteValue<N>>> {
    return this.#call(WRITES[name].repeatable, options.signal, ({ contract }) => contract.write(name, args, options));
  }

  async *watch<N extends ReadName>(
    name: N,
    args: ReadArgs<N>,
    options: WatchOptions,
  ): AsyncIterable<WatchUpdate<ReadValue<N>>> {
    const { contract } = await this.#deps.sessions.connected(options.signal);
    yield* contract.watch(name, args, options);
  }

  save(options: CallOptions): Promise<SavedSnapshot> {
    return this.#call(false, options.signal, ({ snapshots }) => snapshots.save(options));
  }

  restore(archive: AsyncIterable<Uint8Array>, options: RestoreCallOptions): Promise<RestoredSnapshot> {
    return this.#call(false, options.signal, ({ snapshots }) => snapshots.restore(archive, options));
  }

  async #call<R>(repeat: boolean, signal: AbortSignal, ask: (session: ServerSession) => Promise<R>): Promise<R> {
    const { clock, sessions, holdMs = DEFAULT_HOLD_MS } = this.#deps;
    const until = clock.steady() + holdMs;
    for (;;) {
      const session = sessions.current ?? (await this.#session(until - clock.steady(), signal));
      try {
        return await ask(session);
      } catch (error) {
        if (!repeat || !hasCode(error, 'unavailable') || signal.aborted || clock.steady() >= until) throw error;
        if (!(await this.#isLost(session, signal))) throw error;
      }
    }
  }

  async #session(waitMs: number, signal: AbortSignal): Promise<ServerSession> {
    const { clock, sessions, datacenter } = this.#deps;
    const limit = withDeadline(clock, Math.max(0, waitMs), 'waiting for a server', signal);
    try {
      return await sessions.connected(limit.signal);
    } catch (cause) {
      if (signal.aborted) throw abortReason(signal);
      throw new IsthmusError('unavailable', `No server of ${datacenter} is reached: ${sessions.problem}`, { cause });
    } finally {
      limit.release();
    }
  }

  async #isLost(session: ServerSession, signal: AbortSignal): Promise<boolean> {
    const limit = withDeadline(this.#deps.clock, LOST_WITHIN_MS, 'the end of the session', signal);
    try {
      await abortable(session.ended, limit.signal);
      return true;
    } catch {
      return false;
    } finally {
      limit.release();
    }
  }
}
