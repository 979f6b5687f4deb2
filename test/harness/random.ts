/** Chance that a seed repeats (mulberry32), for tests that must fail alike twice. */
export interface Random {
  readonly seed: number;
  /** In [0, 1). */
  next(): number;
  /** A whole number from `min` to `max`. */
  between(min: number, max: number): number;
  pick<T>(from: readonly T[]): T;
}

/** ISTHMUS_TEST_SEED repeats a run; else each run has a seed of its own, which the test tells. */
export function seeded(seed = Number(process.env.ISTHMUS_TEST_SEED ?? Date.now() % 1_000_000)): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const between = (min: number, max: number): number => min + Math.floor(next() * (max - min + 1));
  return {
    seed,
    next,
    between,
    pick: (from) => from[between(0, from.length - 1)] as (typeof from)[number],
  };
}
