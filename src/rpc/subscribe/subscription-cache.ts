import type { Clock, Timer } from '../../lib/clock.ts';
import type { ReadName, ReadValue } from '../contract/reads.ts';
import { CacheEntry } from './cache-entry.ts';
import { type Question, questionKey } from './question.ts';
import type { WatchPool } from './watch-pool.ts';

export interface SubscriptionCacheDeps {
  readonly pool: Pick<WatchPool, 'follow'>;
  readonly clock: Clock;
}

export interface SubscriptionCacheOptions {
  /** Questions followed at most; one that was not asked for a while goes first. */
  readonly max: number;
  /** A question that was not asked for this long is no longer followed, milliseconds; default 10 minutes. */
  readonly idleMs?: number;
}

const IDLE_MS = 600_000;
/** Idle questions are looked for this often at least, milliseconds. */
const SWEEP_MS = 60_000;

/** Questions that are asked again and again: each is followed from the first time on, until it is no longer asked. */
export class SubscriptionCache {
  readonly #deps: SubscriptionCacheDeps;
  readonly #max: number;
  readonly #idleMs: number;
  readonly #entries = new Map<string, CacheEntry<unknown>>();
  #sweeper: Timer | undefined;

  constructor(deps: SubscriptionCacheDeps, { max, idleMs = IDLE_MS }: SubscriptionCacheOptions) {
    this.#deps = deps;
    this.#max = max;
    this.#idleMs = idleMs;
  }

  /** The entry of a question that is followed; it has just been used. */
  get<N extends ReadName>(question: Question<N>): CacheEntry<ReadValue<N>> | undefined {
    return this.#get(questionKey(question)) as CacheEntry<ReadValue<N>> | undefined;
  }

  /**
   * The entry of a question, which is followed from now on.
   * @param onBegin called with an entry that is new, before its first state
   */
  ask<N extends ReadName>(
    question: Question<N>,
    onBegin?: (entry: CacheEntry<ReadValue<N>>) => void,
  ): CacheEntry<ReadValue<N>> {
    const key = questionKey(question);
    const known = this.#get(key) as CacheEntry<ReadValue<N>> | undefined;
    if (known !== undefined) return known;
    const { pool, clock } = this.#deps;
    const entry = new CacheEntry<ReadValue<N>>(key, clock);
    if (this.#entries.size >= this.#max) this.#makeRoom();
    this.#entries.set(key, entry);
    this.#sweeper ??= clock.after(Math.min(SWEEP_MS, this.#idleMs), () => this.#sweep());
    onBegin?.(entry);
    const { name, args, datacenter, token } = question;
    const options = { ...(datacenter === undefined ? {} : { datacenter }), ...(token === undefined ? {} : { token }) };
    entry.begin((onState) => pool.follow(name, args, options, onState));
    return entry;
  }

  /** No longer follows it; who asks from now on begins anew. */
  drop<T>(entry: CacheEntry<T>): void {
    if (this.#entries.get(entry.key) === (entry as unknown)) this.#entries.delete(entry.key);
    entry.close();
  }

  /** Ends all that is followed. */
  close(): void {
    this.#sweeper?.cancel();
    this.#sweeper = undefined;
    for (const entry of this.#entries.values()) this.drop(entry);
  }

  #get(key: string): CacheEntry<unknown> | undefined {
    const entry = this.#entries.get(key);
    entry?.use();
    return entry;
  }

  /** Drops the first in the row; one that was used since it took its place gets another turn. */
  #makeRoom(): void {
    for (const [key, entry] of this.#entries) {
      if (entry.usedAt <= entry.seenAt) {
        this.drop(entry);
        return;
      }
      this.#entries.delete(key);
      entry.seenAt = entry.usedAt;
      this.#entries.set(key, entry);
    }
  }

  #sweep(): void {
    const { clock } = this.#deps;
    const before = clock.steady() - this.#idleMs;
    for (const entry of this.#entries.values()) if (entry.usedAt < before) this.drop(entry);
    const rest = this.#entries.size > 0;
    this.#sweeper = rest ? clock.after(Math.min(SWEEP_MS, this.#idleMs), () => this.#sweep()) : undefined;
  }
}
