import { abortReason } from './signals.ts';

/** Tells listeners that something changed: once for all changes of one turn of the event loop. */
export class ChangeSignal {
  readonly #listeners = new Set<() => void>();
  #pending = false;

  notify(): void {
    if (this.#pending) return;
    this.#pending = true;
    queueMicrotask(() => {
      this.#pending = false;
      for (const listener of this.#listeners) listener();
    });
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Resolves after the next change; rejects when `signal` aborts. */
  next(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(abortReason(signal));
        return;
      }
      const finish = (): void => {
        end();
        signal.removeEventListener('abort', onAbort);
      };
      const end = this.subscribe(() => {
        finish();
        resolve();
      });
      const onAbort = (): void => {
        finish();
        reject(abortReason(signal));
      };
      signal.addEventListener('abort', onAbort, { once: true });
    });
  }
}
