import type { Clock } from '../../lib/clock.ts';
import { abortReason } from '../../lib/signals.ts';
import type { Followed } from './watch-pool.ts';

/** Most things that are made of one answer and kept beside it. */
const MAX_DERIVED = 32;

/** The answer to one question, kept current as long as the question is asked. */
export class CacheEntry<T> {
  readonly key: string;
  readonly #clock: Clock;
  readonly #listeners = new Set<() => void>();
  readonly #derived = new Map<string, unknown>();
  #state: Followed<T> | undefined;
  #end: (() => void) | undefined;
  #open = true;
  #confirmedAt = 0;
  #usedAt: number;
  /** When the cache last saw that it was used. */
  seenAt: number;

  constructor(key: string, clock: Clock) {
    this.key = key;
    this.#clock = clock;
    this.#usedAt = clock.steady();
    this.seenAt = this.#usedAt;
  }

  /** What is known; undefined before the first answer or problem. The last state stays when the entry is dropped. */
  get state(): Followed<T> | undefined {
    return this.#state;
  }

  get value(): T | undefined {
    return this.#state?.value;
  }

  /** Why nothing newer is known. */
  get problem(): string | undefined {
    return this.#state?.problem;
  }

  /** False once it was dropped: its state no longer changes. */
  get open(): boolean {
    return this.#open;
  }

  /** When servers last said so, milliseconds of the clock; 0: never. */
  get confirmedAt(): number {
    return this.#confirmedAt;
  }

  get usedAt(): number {
    return this.#usedAt;
  }

  use(): void {
    this.#usedAt = this.#clock.steady();
  }

  /** Servers were asked and gave the same answer. */
  confirm(): void {
    this.#confirmedAt = this.#clock.steady();
  }

  /** Calls `listener` after every change and when the entry is dropped; returns what ends it. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Resolves with the first answer or problem, when the time is up, or when the entry is dropped. */
  first(waitMs: number, signal?: AbortSignal): Promise<void> {
    if (this.#state !== undefined || !this.#open) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const settle = (outcome: () => void): void => {
        timer.cancel();
        end();
        signal?.removeEventListener('abort', onAbort);
        outcome();
      };
      const onAbort = (): void => settle(() => reject(abortReason(signal as AbortSignal)));
      const timer = this.#clock.after(waitMs, () => settle(resolve));
      const end = this.onChange(() => settle(resolve));
      signal?.addEventListener('abort', onAbort, { once: true });
      if (signal?.aborted === true) onAbort();
    });
  }

  /** What was made out of the answer and kept under this name, until the answer changes. */
  derived<D>(name: string): D | undefined {
    return this.#derived.get(name) as D | undefined;
  }

  keep(name: string, made: unknown): void {
    if (this.#derived.size >= MAX_DERIVED) this.#derived.clear();
    this.#derived.set(name, made);
  }

  /** @param follow begins to follow; returns what ends it. For the cache only. */
  begin(follow: (onState: (state: Followed<unknown>) => void) => () => void): void {
    const end = follow((state) => this.#take(state as Followed<T>));
    if (this.#open) this.#end = end;
    else end(); // dropped because of its first state
  }

  /** For the cache only. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#end?.();
    this.#derived.clear();
    this.#changed();
  }

  #take(state: Followed<T>): void {
    if (state.value !== this.#state?.value || state.problem !== this.#state?.problem) this.#derived.clear();
    this.#state = state;
    if (state.problem === undefined) this.confirm();
    this.#changed();
  }

  #changed(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}
