/** Weight of a new sample in the smoothed round-trip time. */
const SAMPLE_WEIGHT = 0.2;
/** Unanswered pings remembered. */
const MAX_PENDING = 16;

/**
 * Counts heartbeats since the other side was last heard, and smooths the round-trip time. Silence is counted in beats,
 * not in time: a clock that jumps, or a process that slept, does not make a living link look dead.
 */
export class Heartbeat {
  readonly #monotonicMs: () => number;
  readonly #sent = new Map<bigint, number>();
  #number = 0n;
  #beats = 0;
  #rttMs: number | undefined;

  /** @param monotonicMs a clock that never goes back, in milliseconds, with fractions */
  constructor(monotonicMs: () => number) {
    this.#monotonicMs = monotonicMs;
  }

  /** Smoothed round-trip time, milliseconds; undefined before the first answer. */
  get rttMs(): number | undefined {
    return this.#rttMs;
  }

  /** Counts a beat; returns how many whole beats the other side has been silent. */
  beat(): number {
    this.#beats += 1;
    return this.#beats - 1;
  }

  heard(): void {
    this.#beats = 0;
  }

  /** Number of the next ping. */
  ping(): bigint {
    this.#number += 1n;
    this.#sent.set(this.#number, this.#monotonicMs());
    if (this.#sent.size > MAX_PENDING) this.#sent.delete(this.#number - BigInt(MAX_PENDING));
    return this.#number;
  }

  pong(number: bigint): void {
    const sent = this.#sent.get(number);
    if (sent === undefined) return;
    this.#sent.delete(number);
    const sample = Math.max(0, this.#monotonicMs() - sent);
    this.#rttMs = this.#rttMs === undefined ? sample : this.#rttMs + SAMPLE_WEIGHT * (sample - this.#rttMs);
  }
}
