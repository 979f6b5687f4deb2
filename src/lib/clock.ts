/** A cancellable timer. */
export interface Timer {
  cancel(): void;
}

/** Time, injected everywhere below the daemon so that tests can own it. Milliseconds since the Unix epoch. */
export interface Clock {
  now(): number;
  /** For ages: milliseconds since an unknown start, independent of the set time; they go on while the machine works. */
  steady(): number;
  /**
   * Calls `fire` once after `ms`, whatever happens to the time of day meanwhile. The timer does not keep the process
   * alive.
   */
  after(ms: number, fire: () => void): Timer;
  /**
   * Calls `listener` when the time of day was set, or the machine slept: what was planned by it is to be planned anew.
   * Returns the function that ends it.
   * @param listener gets by how many milliseconds; negative: the time went back
   */
  onJump(listener: (byMs: number) => void): () => void;
}

/** Where a clock has its times from. */
export interface TimeSources {
  /** Time of day, milliseconds since 1970: may be set. */
  readonly wall: () => number;
  /** Milliseconds since whenever: never set, and stands still while the machine sleeps. */
  readonly steady: () => number;
}

/** Node refuses delays above 2^31-1 ms (fires at once), so longer ones are chained. */
const MAX_DELAY_MS = 2 ** 31 - 1;
/** Between two comparisons of the two times, while somebody listens. */
const COMPARE_MS = 1_000;
/** What lies below is the slow correction of a clock that is a little off. */
const JUMP_MS = 2_000;

export function createSystemClock({ wall, steady }: TimeSources): Clock {
  const listeners = new Set<(byMs: number) => void>();
  let apart = 0;
  let comparing: NodeJS.Timeout | undefined;

  const compare = (): void => {
    const before = apart;
    apart = wall() - steady();
    const byMs = Math.round(apart - before);
    if (Math.abs(byMs) >= JUMP_MS) for (const listener of [...listeners]) listener(byMs);
  };

  return {
    now: wall,
    steady,
    after(ms, fire) {
      let handle: NodeJS.Timeout;
      const arm = (left: number): void => {
        const step = Math.min(left, MAX_DELAY_MS);
        handle = setTimeout(() => (left > step ? arm(left - step) : fire()), Math.max(0, step));
        handle.unref();
      };
      arm(ms);
      return { cancel: () => clearTimeout(handle) };
    },
    onJump(listener) {
      if (listeners.size === 0) {
        apart = wall() - steady();
        comparing = setInterval(compare, COMPARE_MS);
        comparing.unref();
      }
      listeners.add(listener);
      return () => {
        listeners.delete(listener);
        if (listeners.size === 0) clearInterval(comparing);
      };
    },
  };
}

export const systemClock: Clock = createSystemClock({ wall: () => Date.now(), steady: () => performance.now() });

/** When something was: for people, and for its age. */
export interface Moment {
  /** Time of day, milliseconds since the Unix epoch. */
  readonly at: number;
  readonly steady: number;
}

export function momentOf(clock: Clock): Moment {
  return { at: clock.now(), steady: clock.steady() };
}

/** Milliseconds since a moment, whatever happened to the time of day meanwhile. */
export function ageOf(clock: Clock, { steady }: Moment): number {
  return clock.steady() - steady;
}
