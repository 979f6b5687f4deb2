import type { Followed, FollowOptions, WatchPool } from '../../agent/cache/watch-pool.ts';
import type { Clock, Timer } from '../../lib/clock.ts';
import type { ReadArgs, ReadName, ReadValue } from '../../rpc/contract/reads.ts';

interface Entry {
  state: Followed<unknown> | undefined;
  readonly waiters: Set<() => void>;
  readonly end: () => void;
  usedAt: number;
}

export interface KnownAnswersDeps {
  readonly pool: Pick<WatchPool, 'follow'>;
  readonly clock: Clock;
}

/** Questions followed at most; the one not asked for longest goes first. */
const MAX_KNOWN = 2_048;
/** A question that nobody asks for this long is no longer followed, milliseconds. */
const IDLE_MS = 600_000;
const SWEEP_MS = 60_000;
/** How long the first asker waits, milliseconds: less than the five seconds after which resolvers ask again. */
const FIRST_ANSWER_MS = 3_000;

/** Answers that are followed from the first question on, so that later ones cost no way to a server. */
export class KnownAnswers {
  readonly #deps: KnownAnswersDeps;
  readonly #entries = new Map<string, Entry>();
  #sweeper: Timer | undefined;

  constructor(deps: KnownAnswersDeps) {
    this.#deps = deps;
  }

  /** What is known; without a value and without a problem when nothing came in time. */
  async ask<N extends ReadName>(
    name: N,
    args: ReadArgs<N>,
    options: FollowOptions,
  ): Promise<Pick<Followed<ReadValue<N>>, 'value' | 'problem'>> {
    const key = JSON.stringify([name, args, options.datacenter ?? '', options.token ?? '']);
    const entry = this.#entries.get(key) ?? this.#begin(key, name, args, options);
    entry.usedAt = this.#deps.clock.now();
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    if (entry.state === undefined) await this.#first(entry);
    // What can't be followed is asked for anew each time: names that do not exist must not pile up.
    if (entry.state?.problem !== undefined && entry.state.value === undefined && this.#entries.get(key) === entry)
      this.#end(key, entry);
    return (entry.state ?? {}) as Pick<Followed<ReadValue<N>>, 'value' | 'problem'>;
  }

  close(): void {
    this.#sweeper?.cancel();
    for (const [key, entry] of this.#entries) this.#end(key, entry);
  }

  #begin<N extends ReadName>(key: string, name: N, args: ReadArgs<N>, options: FollowOptions): Entry {
    let early: Followed<unknown> | undefined;
    let made: Entry | undefined;
    const end = this.#deps.pool.follow(name, args, options, (state) => {
      if (made === undefined) {
        early = state;
        return;
      }
      made.state = state;
      for (const waiter of made.waiters) waiter();
    });
    const entry: Entry = { state: early, waiters: new Set(), end, usedAt: 0 };
    made = entry;
    this.#entries.set(key, entry);
    if (this.#entries.size > MAX_KNOWN) {
      const [oldest] = this.#entries;
      if (oldest !== undefined) this.#end(...oldest);
    }
    this.#sweeper ??= this.#deps.clock.after(SWEEP_MS, () => this.#sweep());
    return entry;
  }

  #first(entry: Entry): Promise<void> {
    return new Promise((resolve) => {
      const finish = (): void => {
        timer.cancel();
        entry.waiters.delete(finish);
        resolve();
      };
      const timer = this.#deps.clock.after(FIRST_ANSWER_MS, finish);
      entry.waiters.add(finish);
    });
  }

  #sweep(): void {
    this.#sweeper = undefined;
    const before = this.#deps.clock.now() - IDLE_MS;
    for (const [key, entry] of this.#entries) if (entry.usedAt < before) this.#end(key, entry);
    if (this.#entries.size > 0) this.#sweeper = this.#deps.clock.after(SWEEP_MS, () => this.#sweep());
  }

  #end(key: string, entry: Entry): void {
    this.#entries.delete(key);
    entry.end();
    for (const waiter of [...entry.waiters]) waiter();
  }
}
