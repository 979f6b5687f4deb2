/** Exponential backoff with full jitter on the upper half: delay n lies in [cap_n/2, cap_n]. */
export interface BackoffOptions {
  /** First cap, milliseconds. Default 100. */
  readonly baseMs?: number;
  /** Largest cap, milliseconds. Default 30,000. */
  readonly maxMs?: number;
  /** Chance in [0, 1); tests give a fixed one. Default Math.random. */
  readonly random?: () => number;
}

export class Backoff {
  readonly #baseMs: number;
  readonly #maxMs: number;
  readonly #random: () => number;
  #attempt = 0;

  constructor(options: BackoffOptions = {}) {
    this.#baseMs = options.baseMs ?? 100;
    this.#maxMs = options.maxMs ?? 30_000;
    this.#random = options.random ?? Math.random;
  }

  get attempt(): number {
    return this.#attempt;
  }

  next(): number {
    const cap = Math.min(this.#maxMs, this.#baseMs * 2 ** Math.min(this.#attempt, 30));
    this.#attempt += 1;
    return cap / 2 + (this.#random() * cap) / 2;
  }

  reset(): void {
    this.#attempt = 0;
  }
}
