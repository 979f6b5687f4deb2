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

/** Longest pause between tries: a twentieth of the life, so that the last third of it holds several. */
export function longestRetry(life: Life | undefined): number {
  const MAX_MS = 60_000;
  return life === undefined ? MAX_MS : Math.max(1_000, Math.min(MAX_MS, (life.to - life.from) / 20));
}
