import type { Clock } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import type { ReadOptions, ReadResult, ServerContract } from '../../rpc/contract/contract.ts';
import type { ReadArgs, ReadName, ReadValue } from '../../rpc/contract/reads.ts';
import { makeResult } from '../../rpc/contract/result.ts';
import type { CacheEntry } from '../../rpc/subscribe/cache-entry.ts';
import { SubscriptionCache } from '../../rpc/subscribe/subscription-cache.ts';
import type { WatchPool } from '../../rpc/subscribe/watch-pool.ts';
import { Held } from './held.ts';

export interface CachedReadsDeps {
  /** Where reads that may not come from the cache go. */
  readonly contract: ServerContract;
  readonly pool: Pick<WatchPool, 'follow'>;
  readonly clock: Clock;
}

/** Questions followed at most. */
const MAX_QUESTIONS = 4_096;
/** How long the first asker waits, milliseconds. */
const FIRST_ANSWER_MS = 7_000;
/** The name under which an entry keeps the result that all who ask get. */
const SHARED_RESULT = 'result';

/**
 * The contract of an agent that may answer `?cached` reads by itself: what is asked for once is followed from then on.
 * While no server is reached the last answer goes on, and says how old it is.
 */
export class CachedReads implements ServerContract {
  readonly write: ServerContract['write'];
  readonly watch: ServerContract['watch'];
  readonly #deps: CachedReadsDeps;
  readonly #cache: SubscriptionCache;
  /** The answers as blocking queries count them. */
  readonly #held = new WeakMap<CacheEntry<unknown>, Held<unknown>>();

  constructor(deps: CachedReadsDeps) {
    this.#deps = deps;
    this.#cache = new SubscriptionCache(deps, { max: MAX_QUESTIONS });
    this.write = (name, args, options) => deps.contract.write(name, args, options);
    this.watch = (name, args, options) => deps.contract.watch(name, args, options);
  }

  async read<N extends ReadName>(name: N, args: ReadArgs<N>, options: ReadOptions): Promise<ReadResult<ReadValue<N>>> {
    if (options.cached !== true) return this.#deps.contract.read(name, args, options);
    const { datacenter, token, index, signal } = options;
    let hit = true;
    const entry = this.#cache.ask({ name, args, datacenter, token }, (begun) => {
      hit = false;
      this.#hold(begun);
    });
    await entry.first(FIRST_ANSWER_MS, signal);
    if (entry.value === undefined) {
      this.#cache.drop(entry); // what can't be followed is asked for anew each time
      throw new IsthmusError(entry.state?.code ?? 'unavailable', entry.problem ?? 'no answer came in time');
    }
    if (index !== undefined) await this.#heldOf(entry).wait(options);
    entry.use(); // it may have waited long
    return this.#answer(entry, hit) as ReadResult<ReadValue<N>>;
  }

  close(): void {
    this.#cache.close();
  }

  #heldOf(entry: CacheEntry<unknown>): Held<unknown> {
    return this.#held.get(entry) as Held<unknown>;
  }

  #hold(entry: CacheEntry<unknown>): void {
    const held = new Held<unknown>(this.#deps.clock);
    this.#held.set(entry, held);
    entry.onChange(() => {
      const { value, index = 0, problem } = entry.state ?? {};
      const { current } = held;
      if (value === undefined || problem !== undefined) return;
      if (current?.index !== index || current.value !== value) held.set(value, index);
    });
  }

  #answer(entry: CacheEntry<unknown>, hit: boolean): ReadResult<unknown> {
    const { value, index } = this.#heldOf(entry).current as { value: unknown; index: number };
    const lostAt = entry.state?.lostAt;
    if (!hit || lostAt !== undefined) {
      const ageMs = lostAt === undefined ? 0 : this.#deps.clock.steady() - lostAt;
      return makeResult({ value, index, lastContactMs: ageMs, cache: { hit, ageMs } });
    }
    const shared = entry.derived<ReadResult<unknown>>(SHARED_RESULT);
    if (shared?.index === index) return shared;
    const result = makeResult({ value, index, cache: { hit, ageMs: 0 } });
    entry.keep(SHARED_RESULT, result);
    return result;
  }
}
