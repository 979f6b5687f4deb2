import type { Clock } from './clock.ts';
import { abortReason } from './signals.ts';

/** Wakes one waiter. A `fire` while no one waits is remembered: no change is slept through. */
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
