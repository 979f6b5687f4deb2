import type { Clock, Timer } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { abortReason } from '../../lib/signals.ts';
import type { ReadOptions, ReadResult, ServerContract } from '../../rpc/contract/contract.ts';
import type { ReadArgs, ReadName, ReadValue } from '../../rpc/contract/reads.ts';
import { makeResult } from '../../rpc/contract/result.ts';
import { Held } from './held.ts';
import type { Followed, WatchPool } from './watch-pool.ts';

export interface CachedReadsDeps {
  /** Where reads that may not come from the cache go. */
  readonly contract: ServerContract;
  readonly pool: Pick<WatchPool, 'follow'>;
  readonly clock: Clock;
}

interface Entry {
  readonly held: Held<unknown>;
  state: Followed<unknown> | undefined;
  usedAt: number;
  readonly waiters: Set<() => void>;
  /** The answer while it is followed: the same for all who ask. */
  fresh: ReadResult<unknown> | undefined;
  end: () => void;
}

/** Questions followed at most; the one not asked for longest goes first. */
const MAX_KEPT = 4_096;
/** A question that nobody asks for this long is no longer followed, milliseconds. */
const IDLE_MS = 600_000;
const SWEEP_MS = 60_000;
/** How long the first asker waits, milliseconds. */
const FIRST_ANSWER_MS = 7_000;

/**
 * The contract of an agent that may answer `?cached` reads by itself: what is asked for once is followed from then on. While no
 * server is reached the last answer goes on, and says how old it is.
 */
export class CachedReads implements ServerContract {
  readonly write: ServerContract['write'];
  readonly watch: ServerContract['watch'];
  readonly #deps: CachedReadsDeps;
  readonly #entries = new Map<string, Entry>();
  #sweeper: Timer | undefined;

  constructor(deps: CachedReadsDeps) {
    this.#deps = deps;
    this.write = (name, args, options) => deps.contract.write(name, args, options);
    this.watch = (name, args, options) => deps.contract.watch(name, args, options);
  }

  async read<N extends ReadName>(name: N, args: ReadArgs<N>, options: ReadOptions): Promise<ReadResult<ReadValue<N>>> {
    if (options.cached !== true) return this.#deps.contract.read(name, args, options);
    const key = JSON.stringify([name, args, options.datacenter ?? '', options.token ?? '']);
    const known = this.#entries.get(key);
    const entry = known ?? this.#begin(key, name, args, options);
    entry.usedAt = this.#deps.clock.now();
    if (entry.state === undefined) await this.#first(entry, options.signal);
    if (entry.state?.value === undefined) {
      this.#end(key, entry); // what can't be followed is asked for anew each time
      throw new IsthmusError(entry.state?.code ?? 'unavailable', entry.state?.problem ?? 'no answer came in time');
    }
    if (options.index !== undefined) await entry.held.wait(options);
    return this.#answer(entry, known !== undefined) as ReadResult<ReadValue<N>>;
  }

  close(): void {
    this.#sweeper?.cancel();
    for (const [key, entry] of this.#entries) this.#end(key, entry);
  }

  #answer(entry: Entry, hit: boolean): ReadResult<unknown> {
    const { value, index } = entry.held.current as { value: unknown; index: number };
    const lostAt = entry.state?.lostAt;
    if (hit && lostAt === undefined) {
      entry.fresh ??= makeResult({ value, index, cache: { hit, ageMs: 0 } });
      return entry.fresh;
    }
    const ageMs = lostAt === undefined ? 0 : this.#deps.clock.now() - lostAt;
    return makeResult({ value, index, lastContactMs: ageMs, cache: { hit, ageMs } });
  }

  #begin<N extends ReadName>(key: string, name: N, args: ReadArgs<N>, options: ReadOptions): Entry {
    const { clock, pool } = this.#deps;
    const entry: Entry = {
      held: new Held(clock),
      state: undefined,
      usedAt: 0,
      waiters: new Set(),
      fresh: undefined,
      end: () => undefined,
    };
    this.#entries.set(key, entry);
    const { datacenter, token } = options;
    const where = { ...(datacenter === undefined ? {} : { datacenter }), ...(token === undefined ? {} : { token }) };
    entry.end = pool.follow(name, args, where, (state) => {
      const changed = state.problem === undefined;
      entry.state = state;
      if (changed && (state.index !== entry.held.current?.index || state.value !== entry.held.current.value)) {
        entry.fresh = undefined;
        entry.held.set(state.value, state.index);
      }
      for (const waiter of [...entry.waiters]) waiter();
    });
    if (this.#entries.size > MAX_KEPT) this.#end(...(this.#entries.entries().next().value as [string, Entry]));
    this.#sweeper ??= clock.after(SWEEP_MS, () => this.#sweep());
    return entry;
  }

  #first(entry: Entry, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const finish = (): void => {
        timer.cancel();
        entry.waiters.delete(finish);
        signal.removeEventListener('abort', onAbort);
        resolve();
      };
      const onAbort = (): void => {
        finish();
        reject(abortReason(signal));
      };
      const timer = this.#deps.clock.after(FIRST_ANSWER_MS, finish);
      entry.waiters.add(finish);
      signal.addEventListener('abort', onAbort, { once: true });
      if (signal.aborted) onAbort();
    });
  }

  #sweep(): void {
    this.#sweeper = undefined;
    const before = this.#deps.clock.now() - IDLE_MS;
    for (const [key, entry] of this.#entries)
      if (entry.usedAt < before && entry.held.followers === 0) this.#end(key, entry);
    if (this.#entries.size > 0) this.#sweeper = this.#deps.clock.after(SWEEP_MS, () => this.#sweep());
  }

  #end(key: string, entry: Entry): void {
    if (this.#entries.get(key) === entry) this.#entries.delete(key);
    entry.end();
    for (const waiter of [...entry.waiters]) waiter();
  }
}
