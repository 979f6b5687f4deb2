import { abortReason } from '../../lib/signals.ts';
import type { RowDelta } from '../../rpc/contract/changes.ts';

export interface Batch {
  readonly changes: readonly RowDelta[];
  /** All changes up to it are in this batch or an earlier one; 0 when the batch ends within a commit. */
  readonly revision: number;
}

/**
 * Changes that have come and are not yet written. While a commit is on its way to the disk, more come: they are then
 * written together. A row that changed twice is written once.
 */
export class Inbox {
  #changes = new Map<string, RowDelta>();
  #revision = 0;
  #filled: (() => void) | undefined;
  #emptied: (() => void) | undefined;

  get size(): number {
    return this.#changes.size;
  }

  push(changes: readonly RowDelta[], revision: number): void {
    for (const change of changes) {
      this.#changes.delete(change.key); // so that it goes to the end
      this.#changes.set(change.key, change);
    }
    if (revision > this.#revision) this.#revision = revision;
    this.#filled?.();
  }

  /** Everything that has come, once there is something. */
  async take(signal: AbortSignal): Promise<Batch> {
    while (this.#changes.size === 0 && this.#revision === 0) {
      await wait(signal, (resolve) => {
        this.#filled = resolve;
      });
    }
    const batch = { changes: [...this.#changes.values()], revision: this.#revision };
    this.#changes = new Map();
    this.#revision = 0;
    this.#emptied?.();
    return batch;
  }

  /** Resolves after the next take. */
  emptied(signal: AbortSignal): Promise<void> {
    return wait(signal, (resolve) => {
      this.#emptied = resolve;
    });
  }
}

function wait(signal: AbortSignal, hook: (resolve: () => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(abortReason(signal));
      return;
    }
    const onAbort = (): void => reject(abortReason(signal));
    signal.addEventListener('abort', onAbort, { once: true });
    hook(() => {
      signal.removeEventListener('abort', onAbort);
      resolve();
    });
  });
}
