import type { Clock } from '../../lib/clock.ts';
import { formatDuration } from '../../lib/duration.ts';
import { IsthmusError } from '../../lib/errors.ts';

/** Who wants a signature. */
export interface Applicant {
  /** The same again when it comes back: its public key. */
  readonly id: string;
  /** When the certificate that it has ends, milliseconds since the epoch; 0 when it has none. */
  readonly expires: number;
}

interface Waiting extends Applicant {
  readonly order: number;
  /** The moment at which it was asked to come back. */
  slot: number;
}

const SECOND = 1_000;
/** Whoever has not come this long after its slot has lost its place: clients of HTTP get whole seconds. */
const GRACE_MS = 2_000;
/** Places kept; whoever comes above it learns when the line will have been served, and keeps no place in it. */
const MAX_WAITING = 65_536;

/**
 * Never more signatures in any second than the operator configured. Those above it stand in line, which orders them by
 * need and not by luck: first who has no certificate, then who has the least life left. Each gets the moment at
 * which it is its turn; somebody with more need who comes later may still move it back.
 */
export class SignatureLimiter {
  readonly #clock: Clock;
  /** Times of the signatures of the last second, oldest first. */
  #granted: number[] = [];
  /** The line, first come first. */
  readonly #line: Waiting[] = [];
  readonly #byId = new Map<string, Waiting>();
  #order = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** How many stand in line. */
  get waiting(): number {
    return this.#line.length;
  }

  /** @param perSecond 0: no limit. Throws `rate_limited` with `details.retryAfterMs`. */
  take(perSecond: number, applicant: Applicant): void {
    if (perSecond === 0) return;
    const now = this.#clock.steady();
    this.#forget(now);
    let place = this.#byId.get(applicant.id);
    if (place !== undefined && place.expires !== applicant.expires) {
      this.#leave(place);
      place = undefined;
    }
    const ahead = this.#ahead(place ?? { ...applicant, order: this.#order });
    const slot = this.#slot(ahead, perSecond, now);
    if (slot <= now) {
      if (place !== undefined) this.#leave(place);
      this.#granted.push(now);
      return;
    }
    if (place !== undefined) place.slot = slot;
    else if (this.#line.length < MAX_WAITING) {
      const entered = { ...applicant, order: this.#order++, slot };
      this.#line.splice(ahead, 0, entered);
      this.#byId.set(applicant.id, entered);
    }
    const retryAfterMs = Math.ceil(slot - now);
    throw new IsthmusError(
      'rate_limited',
      `the CA signs ${perSecond} certificates each second: your slot is in ${formatDuration(retryAfterMs)}, ` +
        `at ${new Date(this.#clock.now() + retryAfterMs).toISOString()}`,
      { details: { retryAfterMs } },
    );
  }

  /** When the one with so many others ahead may be signed for, if each of them takes its slot. */
  #slot(ahead: number, perSecond: number, now: number): number {
    const free = perSecond - this.#granted.length; // below 0 when the limit was lowered a moment ago
    if (ahead < free) return now;
    const round = Math.floor(ahead / perSecond);
    const base = (ahead % perSecond) - free; // the signature that must be a second old by then
    const earliest = base < 0 ? now + round * SECOND : (this.#granted[base] ?? now) + SECOND + round * SECOND;
    // What a burst took at once is given back evenly.
    const first = Math.max(0, free);
    const even = (this.#granted[Math.max(0, -free)] ?? now) + SECOND + ((ahead - first) * SECOND) / perSecond;
    return Math.max(earliest, even);
  }

  #forget(now: number): void {
    let old = 0;
    while (old < this.#granted.length && (this.#granted[old] as number) <= now - SECOND) old += 1;
    if (old > 0) this.#granted = this.#granted.slice(old);
    for (let head = this.#line[0]; head !== undefined && head.slot + GRACE_MS < now; head = this.#line[0])
      this.#leave(head);
  }

  #leave(place: Waiting): void {
    this.#line.splice(this.#ahead(place), 1);
    this.#byId.delete(place.id);
  }

  /** How many in line go before it. */
  #ahead(place: Pick<Waiting, 'expires' | 'order'>): number {
    let low = 0;
    let high = this.#line.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (goesBefore(this.#line[middle] as Waiting, place)) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function goesBefore(one: Pick<Waiting, 'expires' | 'order'>, other: Pick<Waiting, 'expires' | 'order'>): boolean {
  return one.expires === other.expires ? one.order < other.order : one.expires < other.expires;
}
