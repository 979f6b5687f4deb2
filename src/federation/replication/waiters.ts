import { abortReason } from '../../lib/signals.ts';

/** Those who wait until a revision has been applied. */
export class Waiters {
  readonly #waiting = new Set<{ readonly revision: number; readonly wake: () => void }>();

  wait(revision: number, applied: number, signal: AbortSignal): Promise<void> {
    if (applied >= revision) return Promise.resolve();
    return new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(abortReason(signal));
        return;
      }
      const finish = (): void => {
        this.#waiting.delete(waiter);
        signal.removeEventListener('abort', onAbort);
      };
      const onAbort = (): void => {
        finish();
        reject(abortReason(signal));
      };
      const waiter = {
        revision,
        wake: () => {
          finish();
          resolve();
        },
      };
      this.#waiting.add(waiter);
      signal.addEventListener('abort', onAbort, { once: true });
    });
  }

  advance(applied: number): void {
    for (const waiter of this.#waiting) if (waiter.revision <= applied) waiter.wake();
  }
}
