import type { Clock, Timer } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import type { ServerContract } from '../../rpc/contract/contract.ts';
import type { ReadArgs, ReadName, ReadValue } from '../../rpc/contract/reads.ts';
import { questionKey } from '../../rpc/subscribe/question.ts';
import type { Followed, FollowOptions, WatchPool } from '../../rpc/subscribe/watch-pool.ts';
import { KnownAnswer } from './known-answer.ts';

export interface KnownAnswersDeps {
  readonly pool: Pick<WatchPool, 'follow'>;
  readonly contract: Pick<ServerContract, 'read'>;
  readonly clock: Clock;
}

interface Entry {
  readonly answer: KnownAnswer<unknown>;
  readonly waiters: Set<() => void>;
  readonly end: () => void;
  /** When it took its place in the row of those that may go. */
  placedAt: number;
}

/** Questions followed at most; one that was not asked for a while goes first. */
const MAX_KNOWN = 2_048;
/** A question that nobody asks for this long is no longer followed, milliseconds. */
const IDLE_MS = 600_000;
const SWEEP_MS = 60_000;
/** How long the first asker waits, milliseconds: less than the five seconds after which resolvers ask again. */
const FIRST_ANSWER_MS = 3_000;

/** Answers that are followed from the first question on, so that later ones cost no way to a server. */
export class KnownAnswers {
  readonly #deps: KnownAnswersDeps;
  readonly #maxAgeMs: number;
  readonly #entries = new Map<string, Entry>();
  #sweeper: Timer | undefined;

  /** @param maxAgeMs how long an answer holds without a word from servers; 0 asks them each time. */
  constructor(deps: KnownAnswersDeps, maxAgeMs: number) {
    this.#deps = deps;
    this.#maxAgeMs = maxAgeMs;
  }

  /** What is known; without a value and without a problem when nothing came in time. */
  async ask<N extends ReadName>(
    name: N,
    args: ReadArgs<N>,
    options: FollowOptions,
    signal: AbortSignal,
  ): Promise<KnownAnswer<ReadValue<N>>> {
    const key = questionKey({ name, args, ...options });
    const entry = this.#entries.get(key) ?? this.#begin(key, name, args, options);
    const answer = entry.answer as KnownAnswer<ReadValue<N>>;
    answer.use();
    if (answer.state === undefined) await this.#first(entry);
    // What can't be followed is asked for anew each time: names that do not exist must not pile up.
    if (answer.problem !== undefined && answer.value === undefined && this.#entries.get(key) === entry)
      this.#end(key, entry, answer.state);
    else if (answer.state !== undefined && !answer.fresh) return this.#read(answer, name, args, options, signal);
    return answer;
  }

  close(): void {
    this.#sweeper?.cancel();
    for (const [key, entry] of this.#entries) this.#end(key, entry);
  }

  #begin<N extends ReadName>(key: string, name: N, args: ReadArgs<N>, options: FollowOptions): Entry {
    const { pool, clock } = this.#deps;
    const answer = new KnownAnswer<unknown>(clock, this.#maxAgeMs);
    const waiters = new Set<() => void>();
    const end = pool.follow(name, args, options, (state) => {
      answer.tell(state);
      for (const waiter of [...waiters]) waiter();
    });
    const entry: Entry = { answer, waiters, end, placedAt: clock.now() };
    this.#entries.set(key, entry);
    if (this.#entries.size > MAX_KNOWN) this.#makeRoom();
    this.#sweeper ??= clock.after(SWEEP_MS, () => this.#sweep());
    return entry;
  }

  /** Ends the first in the row; who was asked for since it took its place has another turn. */
  #makeRoom(): void {
    for (const [key, entry] of this.#entries) {
      if (entry.answer.usedAt <= entry.placedAt) {
        this.#end(key, entry);
        return;
      }
      this.#entries.delete(key);
      entry.placedAt = entry.answer.usedAt;
      this.#entries.set(key, entry);
    }
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

  /** Asks the servers, for this one question, what is not known freshly enough. */
  async #read<N extends ReadName>(
    followed: KnownAnswer<ReadValue<N>>,
    name: N,
    args: ReadArgs<N>,
    options: FollowOptions,
    signal: AbortSignal,
  ): Promise<KnownAnswer<ReadValue<N>>> {
    const { contract, clock } = this.#deps;
    const answer = new KnownAnswer<ReadValue<N>>(clock, 0);
    try {
      const { value, index } = await contract.read(name, args, { ...options, signal });
      if (followed.problem === undefined && followed.state?.index === index) followed.confirm();
      answer.tell({ value, index });
    } catch (error) {
      answer.tell({ index: 0, problem: IsthmusError.from(error).message });
    }
    return answer;
  }

  #sweep(): void {
    this.#sweeper = undefined;
    const before = this.#deps.clock.now() - IDLE_MS;
    for (const [key, entry] of this.#entries) if (entry.answer.usedAt < before) this.#end(key, entry);
    if (this.#entries.size > 0) this.#sweeper = this.#deps.clock.after(SWEEP_MS, () => this.#sweep());
  }

  /** @param last what those who are asking now shall still see. */
  #end(key: string, entry: Entry, last?: Followed<unknown>): void {
    this.#entries.delete(key);
    entry.end();
    entry.answer.tell(last);
    for (const waiter of [...entry.waiters]) waiter();
  }
}
