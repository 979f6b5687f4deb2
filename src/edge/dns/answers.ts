import type { Clock } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import type { ServerContract } from '../../rpc/contract/contract.ts';
import type { ReadName, ReadValue } from '../../rpc/contract/reads.ts';
import type { CacheEntry } from '../../rpc/subscribe/cache-entry.ts';
import type { Question } from '../../rpc/subscribe/question.ts';
import { SubscriptionCache } from '../../rpc/subscribe/subscription-cache.ts';
import type { WatchPool } from '../../rpc/subscribe/watch-pool.ts';

export interface AnswersDeps {
  readonly pool: Pick<WatchPool, 'follow'>;
  readonly contract: Pick<ServerContract, 'read'>;
  readonly clock: Clock;
}

/** What servers say to a question; without a value and without a problem when nothing came in time. */
export interface Answer<T> {
  readonly value: T | undefined;
  readonly problem: string | undefined;
  /** Present when the answer is followed: later questions may be answered from it while it is fresh. */
  readonly entry?: CacheEntry<T>;
}

/** Questions followed at most. */
const MAX_QUESTIONS = 2_048;
/** How long the first asker waits, milliseconds: less than the five seconds after which resolvers ask again. */
const FIRST_ANSWER_MS = 3_000;

/** Answers of servers that are followed from the first question on, so that later ones cost no way to a server. */
export class Answers {
  readonly #deps: AnswersDeps;
  readonly #maxAgeMs: number;
  readonly #cache: SubscriptionCache;

  /** @param maxAgeMs how long an answer holds after servers last gave it; 0 asks them each time. */
  constructor(deps: AnswersDeps, maxAgeMs: number) {
    this.#deps = deps;
    this.#maxAgeMs = maxAgeMs;
    this.#cache = new SubscriptionCache(deps, { max: MAX_QUESTIONS });
  }

  async ask<N extends ReadName>(question: Question<N>, signal: AbortSignal): Promise<Answer<ReadValue<N>>> {
    const entry = this.#cache.ask(question);
    await entry.first(FIRST_ANSWER_MS);
    const { value, problem } = entry;
    if (value === undefined) {
      // What can't be followed is asked for anew each time: names that do not exist must not pile up.
      if (problem !== undefined) this.#cache.drop(entry);
      return { value, problem };
    }
    return this.fresh(entry) ? { value, problem, entry } : this.#read(entry, question, signal);
  }

  /** False when servers have to be asked before it may be used. */
  fresh(entry: CacheEntry<unknown>): boolean {
    return entry.open && this.#deps.clock.steady() - entry.confirmedAt < this.#maxAgeMs;
  }

  close(): void {
    this.#cache.close();
  }

  /** Asks the servers, for this one question, what is not known freshly enough. */
  async #read<N extends ReadName>(
    entry: CacheEntry<ReadValue<N>>,
    { name, args, datacenter, token }: Question<N>,
    signal: AbortSignal,
  ): Promise<Answer<ReadValue<N>>> {
    const where = { ...(datacenter === undefined ? {} : { datacenter }), ...(token === undefined ? {} : { token }) };
    try {
      const { value, index } = await this.#deps.contract.read(name, args, { ...where, signal });
      if (entry.problem === undefined && entry.state?.index === index) entry.confirm();
      return { value, problem: undefined };
    } catch (error) {
      return { value: undefined, problem: IsthmusError.from(error).message };
    }
  }
}
