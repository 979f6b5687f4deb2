/** When a certificate is renewed: the pure part of the leaf manager. Milliseconds since the epoch. */

export interface Life {
  readonly from: number;
  readonly to: number;
}

/**
 * A moment between one half and two thirds of the life. `random` in [0, 1) spreads those that were issued together;
 * the last third is left for retries.
 */
export function renewalTime(life: Life, random: number): number {
  return life.from + (life.to - life.from) * (1 / 2 + random / 6);
}

export function isLive(life: Life, now: number): boolean {
  return now < life.to;
}

/** By the time of day here: not yet valid certificates are not, although they live. */
export function isValid(life: Life, now: number): boolean {
  return now >= life.from && isLive(life, now);
}

/** Clocks of machines differ by less, milliseconds: certificates are valid from a minute before they were made. */
const SKEW_MS = 4 * 60_000;

/** True when whoever signed it has a clock that is far ahead. */
export function isFromTheFuture(life: Life, now: number): boolean {
  return life.from > now + SKEW_MS;
}

/** Longest pause between tries: a twentieth of the life, so that the last third of it holds several. */
export function longestRetry(life: Life | undefined): number {
  const MAX_MS = 60_000;
  return life === undefined ? MAX_MS : Math.max(1_000, Math.min(MAX_MS, (life.to - life.from) / 20));
}
