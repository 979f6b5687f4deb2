import type { Clock } from '../../lib/clock.ts';
import { abortReason } from '../../lib/signals.ts';

/** Wakes one waiter. A `fire` while nobody waits is remembered: no change is slept through. */
export class Trigger {
  #fired = false;
  #wake: (() => void) | undefined;

  fire(): void {
    this.#fired = true;
    this.#wake?.();
  }

  /** Resolves at the next `fire`, or after `ms`; rejects when `signal` aborts. */
  wait(clock: Clock, ms: number | undefined, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(abortReason(signal));
        return;
      }
      const finish = (): void => {
        this.#wake = undefined;
        this.#fired = false;
        timer?.cancel();
        signal.removeEventListener('abort', onAbort);
      };
      const onAbort = (): void => {
        finish();
        reject(abortReason(signal));
      };
      const wake = (): void => {
        finish();
        resolve();
      };
      const timer = ms === undefined || this.#fired ? undefined : clock.after(Math.max(0, ms), wake);
      if (this.#fired) {
        wake();
        return;
      }
      this.#wake = wake;
      signal.addEventListener('abort', onAbort, { once: true });
    });
  }
}

/** Runs one piece of work at a time, in the order asked for. */
export class Mutex {
  #tail: Promise<unknown> = Promise.resolve();

  run<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#tail.then(work, work);
    this.#tail = result.catch(() => undefined); // the caller sees the failure; the next one goes on
    return result;
  }
}
