import { setTimeout as pause } from 'node:timers/promises';

export interface WaitOptions {
  /** What is waited for, for the message when it does not come. */
  readonly what: string;
  /** Milliseconds. Default 15,000. */
  readonly timeout?: number;
  /** Between two looks, milliseconds. Default 20. */
  readonly interval?: number;
}

/**
 * Looks again and again until `probe` gives something other than undefined, null or false, and resolves with it. An
 * error thrown by it counts as "not yet". For what other processes do; within one process await an event.
 */
export async function waitFor<T>(
  probe: () => Promise<T | undefined | null | false>,
  { what, timeout = 15_000, interval = 20 }: WaitOptions,
): Promise<T> {
  const end = Date.now() + timeout;
  for (;;) {
    let last: unknown;
    try {
      const value = await probe();
      if (value !== undefined && value !== null && value !== false) return value;
    } catch (error) {
      last = error;
    }
    if (Date.now() >= end) {
      const why = last instanceof Error ? `: ${last.message}` : '';
      throw new Error(`${what} did not come within ${timeout} ms${why}`, { cause: last });
    }
    await pause(interval);
  }
}
