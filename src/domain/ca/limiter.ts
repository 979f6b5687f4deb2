import type { Clock } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';

/** Signatures each second, as the operator configured; a request above it is told when to come back. */
export class SignatureLimiter {
  readonly #clock: Clock;
  #next = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** @param perSecond 0: no limit. Throws `rate_limited` with `details.retryAfterMs`. */
  take(perSecond: number): void {
    if (perSecond === 0) return;
    const now = this.#clock.now();
    const gap = 1_000 / perSecond;
    const earliest = Math.max(this.#next, now - 1_000 + gap); // up to one second's worth at once
    if (earliest > now) {
      const retryAfterMs = Math.ceil(earliest - now);
      throw new IsthmusError('rate_limited', `the CA signs ${perSecond} certificates each second: try again`, {
        details: { retryAfterMs },
      });
    }
    this.#next = earliest + gap;
  }
}
