import type { Clock } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import type { ReadOptions, ReadResult, ServerContract } from '../../rpc/contract/contract.ts';
import type { ReadArgs, ReadName, ReadValue } from '../../rpc/contract/reads.ts';
import { makeResult } from '../../rpc/contract/result.ts';
import { questionKey } from '../../rpc/subscribe/question.ts';
import type { WatchPool } from '../../rpc/subscribe/watch-pool.ts';
import { FollowedQuestion, FollowedQuestions } from './followed-questions.ts';
import { Held } from './held.ts';

export interface CachedReadsDeps {
  /** Where reads that may not come from the cache go. */
  readonly contract: ServerContract;
  readonly pool: Pick<WatchPool, 'follow'>;
  readonly clock: Clock;
}

class Entry extends FollowedQuestion<unknown> {
  readonly held: Held<unknown>;
  /** The answer while it is followed: the same for all who ask. */
  fresh: ReadResult<unknown> | undefined;

  constructor(clock: Clock) {
    super();
    this.held = new Held(clock);
  }

  /** Takes over the answer of a new state, if it is one. */
  take(): void {
    const { value, index, problem } = this.state ?? { index: 0, problem: '' };
    const { current } = this.held;
    if (problem !== undefined || (current?.index === index && current.value === value)) return;
    this.fresh = undefined;
    this.held.set(value, index);
  }
}

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
  readonly #entries: FollowedQuestions<Entry>;

  constructor(deps: CachedReadsDeps) {
    this.#deps = deps;
    this.#entries = new FollowedQuestions(deps.clock);
    this.write = (name, args, options) => deps.contract.write(name, args, options);
    this.watch = (name, args, options) => deps.contract.watch(name, args, options);
  }

  async read<N extends ReadName>(name: N, args: ReadArgs<N>, options: ReadOptions): Promise<ReadResult<ReadValue<N>>> {
    if (options.cached !== true) return this.#deps.contract.read(name, args, options);
    const { signal } = options;
    const key = questionKey({ name, args, ...options });
    const known = this.#entries.get(key);
    const entry = known ?? this.#begin(key, name, args, options);
    await entry.first(this.#deps.clock, FIRST_ANSWER_MS, signal);
    if (entry.state?.value === undefined) {
      this.#entries.end(key, entry); // what can't be followed is asked for anew each time
      throw new IsthmusError(entry.state?.code ?? 'unavailable', entry.state?.problem ?? 'no answer came in time');
    }
    if (options.index !== undefined) await entry.held.wait(options);
    entry.usedAt = this.#deps.clock.now(); // it may have waited long
    return this.#answer(entry, known !== undefined) as ReadResult<ReadValue<N>>;
  }

  close(): void {
    this.#entries.close();
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
    const { datacenter, token } = options;
    const where = { ...(datacenter === undefined ? {} : { datacenter }), ...(token === undefined ? {} : { token }) };
    const entry = new Entry(clock);
    this.#entries.add(key, entry);
    entry.begin(
      (onState) => pool.follow(name, args, where, onState),
      () => entry.take(),
    );
    return entry;
  }
}
