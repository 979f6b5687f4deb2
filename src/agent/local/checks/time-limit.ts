import type { Clock } from '../../../lib/clock.ts';
import { timeoutError } from './dial-error.ts';

/** Runs `work` with a signal that aborts with `signal`, or with {@link timeoutError} after `ms`. */
export async function withinTime<T>(
  clock: Clock,
  ms: number,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  const onAbort = (): void => controller.abort(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  const timer = clock.after(ms, () => controller.abort(timeoutError()));
  try {
    return await work(controller.signal);
  } finally {
    timer.cancel();
    signal.removeEventListener('abort', onAbort);
  }
}
