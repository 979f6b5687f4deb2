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

/** Asks until `done` is true of the answer, and resolves with it; `onTry` sees each answer, undefined for an error. */
export function until<T>(
  what: string,
  timeout: number,
  ask: () => Promise<T>,
  done: (answer: T) => boolean,
  onTry: (answer: T | undefined) => void = () => undefined,
): Promise<T> {
  const probe = async (): Promise<{ readonly answer: T }> => {
    const answer = await ask().catch((error: unknown) => {
      onTry(undefined);
      throw error;
    });
    onTry(answer);
    if (done(answer)) return { answer };
    throw new Error(`last seen: ${JSON.stringify(answer)?.slice(0, 300)}`);
  };
  return waitFor(probe, { what, timeout, interval: 50 }).then(({ answer }) => answer);
}
