import type { Clock, Timer } from '../../lib/clock.ts';
import { abortReason } from '../../lib/signals.ts';
import type { Followed } from '../../rpc/subscribe/watch-pool.ts';

/** A question that is followed as long as somebody asks it. */
export class FollowedQuestion<T> {
  state: Followed<T> | undefined;
  usedAt = 0;
  readonly #waiters = new Set<() => void>();
  #end: (() => void) | undefined;
  #ended = false;

  /** @param follow begins to follow; returns what ends it */
  begin(follow: (onState: (state: Followed<T>) => void) => () => void, onState: () => void): void {
    this.#end = follow((state) => {
      this.state = state;
      onState();
      for (const wake of [...this.#waiters]) wake();
    });
    if (this.#ended) this.#end(); // its first state was the end of it
  }

  /** Resolves with the first answer or problem, or when the time is up. */
  first(clock: Clock, waitMs: number, signal: AbortSignal): Promise<void> {
    if (this.state !== undefined) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const finish = (): void => {
        timer.cancel();
        this.#waiters.delete(finish);
        signal.removeEventListener('abort', onAbort);
        resolve();
      };
      const onAbort = (): void => {
        finish();
        reject(abortReason(signal));
      };
      const timer = clock.after(waitMs, finish);
      this.#waiters.add(finish);
      signal.addEventListener('abort', onAbort, { once: true });
      if (signal.aborted) onAbort();
    });
  }

  end(): void {
    this.#ended = true;
    this.#end?.();
    for (const wake of [...this.#waiters]) wake();
  }
}

/** Questions followed at most; the one not asked for longest goes first. */
const MAX_QUESTIONS = 4_096;
/** A question that nobody asks for this long is no longer followed, milliseconds. */
const IDLE_MS = 600_000;
const SWEEP_MS = 60_000;

/** The questions that an agent follows for those who ask it, from the first time on. */
export class FollowedQuestions<Q extends Pick<FollowedQuestion<never>, 'usedAt' | 'end'>> {
  readonly #clock: Clock;
  readonly #questions = new Map<string, Q>();
  #sweeper: Timer | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A question that is followed; it has just been asked. */
  get(key: string): Q | undefined {
    const question = this.#questions.get(key);
    if (question === undefined) return undefined;
    question.usedAt = this.#clock.now();
    this.#questions.delete(key);
    this.#questions.set(key, question);
    return question;
  }

  add(key: string, question: Q): void {
    question.usedAt = this.#clock.now();
    this.#questions.set(key, question);
    if (this.#questions.size > MAX_QUESTIONS) this.end(...(this.#questions.entries().next().value as [string, Q]));
    this.#sweeper ??= this.#clock.after(SWEEP_MS, () => this.#sweep());
  }

  end(key: string, question: Q): void {
    if (this.#questions.get(key) === question) this.#questions.delete(key);
    question.end();
  }

  close(): void {
    this.#sweeper?.cancel();
    for (const [key, question] of this.#questions) this.end(key, question);
  }

  #sweep(): void {
    this.#sweeper = undefined;
    const before = this.#clock.now() - IDLE_MS;
    for (const [key, question] of this.#questions) if (question.usedAt < before) this.end(key, question);
    if (this.#questions.size > 0) this.#sweeper = this.#clock.after(SWEEP_MS, () => this.#sweep());
  }
}
