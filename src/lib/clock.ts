/** A cancellable timer. */
export interface Timer {
  cancel(): void;
}

/** Time, injected everywhere below the daemon so that tests can own it. Milliseconds since the Unix epoch. */
export interface Clock {
  now(): number;
  /** Calls `fire` once after `ms`. The timer does not keep the process alive. */
  after(ms: number, fire: () => void): Timer;
}

/** Node refuses delays above 2^31-1 ms (fires at once), so longer ones are chained. */
const MAX_DELAY_MS = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
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
};
