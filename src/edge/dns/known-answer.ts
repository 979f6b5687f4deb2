import type { Clock } from '../../lib/clock.ts';
import type { Followed } from '../../rpc/subscribe/watch-pool.ts';

/** Names that lead to one answer are few, unless somebody makes them up. */
const MAX_DERIVED = 32;

/** What is known of one question, now and as long as it is followed. */
export class KnownAnswer<T> {
  readonly #clock: Clock;
  readonly #maxAgeMs: number;
  readonly #derived = new Map<string, unknown>();
  #state: Followed<T> | undefined;
  /** When servers last said so, milliseconds of the clock. */
  #confirmedAt = 0;
  #usedAt = 0;

  constructor(clock: Clock, maxAgeMs: number) {
    this.#clock = clock;
    this.#maxAgeMs = maxAgeMs;
  }

  /** Undefined before the first answer, and once it is no longer followed. */
  get state(): Followed<T> | undefined {
    return this.#state;
  }

  get value(): T | undefined {
    return this.#state?.value;
  }

  /** Why nothing newer is heard of. */
  get problem(): string | undefined {
    return this.#state?.problem;
  }

  /** False when servers have to be asked before it may be used. */
  get fresh(): boolean {
    return this.#state !== undefined && this.#clock.now() - this.#confirmedAt < this.#maxAgeMs;
  }

  get usedAt(): number {
    return this.#usedAt;
  }

  use(): void {
    this.#usedAt = this.#clock.now();
  }

  tell(state: Followed<T> | undefined): void {
    if (state?.value !== this.#state?.value || state?.problem !== this.#state?.problem) this.#derived.clear();
    this.#state = state;
    if (state !== undefined && state.problem === undefined) this.confirm();
  }

  /** Servers say so still. */
  confirm(): void {
    this.#confirmedAt = this.#clock.now();
  }

  /** What was made out of it and kept under this name, until it changes. */
  derived<D>(name: string): D | undefined {
    return this.#derived.get(name) as D | undefined;
  }

  keep(name: string, made: unknown): void {
    if (this.#derived.size >= MAX_DERIVED) this.#derived.clear();
    this.#derived.set(name, made);
  }
}
