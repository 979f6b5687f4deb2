import type { Clock } from '../../lib/clock.ts';
import type { QueryInstance } from '../../model/prepared-query.ts';
import { type Question, questionKey } from '../../rpc/subscribe/question.ts';
import { SubscriptionCache } from '../../rpc/subscribe/subscription-cache.ts';
import type { WatchPool } from '../../rpc/subscribe/watch-pool.ts';

/** Questions followed at most, and questions remembered that were asked once. */
const MAX_QUESTIONS = 512;
/** A question that is not asked for this long is no longer followed, milliseconds. */
const IDLE_MS = 60_000;

/**
 * Questions to other datacenters that are asked again and again: from the second time on they are followed, so that
 * later ones cost no way there.
 */
export class RepeatedQuestions {
  readonly #cache: SubscriptionCache;
  readonly #once = new Set<string>();

  constructor(pool: Pick<WatchPool, 'follow'>, clock: Clock) {
    this.#cache = new SubscriptionCache({ pool, clock }, { max: MAX_QUESTIONS, idleMs: IDLE_MS });
  }

  /** The instances there, when they are followed; undefined when the datacenter has to be asked. */
  instances(question: Question<'queries.candidates'>): readonly QueryInstance[] | undefined {
    const entry = this.#cache.get(question) ?? (this.#isRepeated(question) ? this.#cache.ask(question) : undefined);
    return entry?.problem === undefined ? entry?.value : undefined;
  }

  close(): void {
    this.#cache.close();
    this.#once.clear();
  }

  #isRepeated(question: Question<'queries.candidates'>): boolean {
    const key = questionKey(question);
    if (this.#once.delete(key)) return true;
    this.#once.add(key);
    if (this.#once.size > MAX_QUESTIONS) this.#once.delete(this.#once.values().next().value as string);
    return false;
  }
}
