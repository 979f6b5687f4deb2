import { abortReason } from '../lib/signals.ts';

/**
 * The revision at which each topic last changed, and those who wait for the next change. A topic is what a reader
 * asks for: a table ("nodes"), or part of one ("service:db"). Readers of one topic are not woken by another.
 */
export class Topics {
  readonly #revisions = new Map<string, number>();
  readonly #waiters = new Map<string, Set<() => void>>();
  /** Topics not touched since the store was loaded count as changed then: an index never goes back over a restart. */
  #floor = 1;

  /** From now on every topic counts as changed at `revision`, at least; wakes all who wait. */
  raise(revision: number): void {
    this.#floor = Math.max(this.#floor, revision);
    const wake = new Set<() => void>();
    for (const waiters of this.#waiters.values()) for (const waiter of waiters) wake.add(waiter);
    for (const waiter of wake) waiter();
  }

  /** The newest revision of any of `topics`; at least 1. */
  index(topics: readonly string[]): number {
    let index = this.#floor;
    for (const topic of topics) {
      const revision = this.#revisions.get(topic);
      if (revision !== undefined && revision > index) index = revision;
    }
    return index;
  }

  touch(topics: Iterable<string>, revision: number): void {
    const wake = new Set<() => void>();
    for (const topic of topics) {
      this.#revisions.set(topic, revision);
      for (const waiter of this.#waiters.get(topic) ?? []) wake.add(waiter);
    }
    for (const waiter of wake) waiter();
  }

  /** Calls `listener` after every touch of one of `topics`; returns the function that ends it. */
  subscribe(topics: readonly string[], listener: () => void): () => void {
    for (const topic of topics) {
      let waiters = this.#waiters.get(topic);
      if (waiters === undefined) {
        waiters = new Set();
        this.#waiters.set(topic, waiters);
      }
      waiters.add(listener);
    }
    return () => {
      for (const topic of topics) {
        const waiters = this.#waiters.get(topic);
        waiters?.delete(listener);
        if (waiters?.size === 0) this.#waiters.delete(topic);
      }
    };
  }

  /** Resolves with the new index once it is above `after`; rejects when `signal` aborts. */
  wait(topics: readonly string[], after: number, signal: AbortSignal): Promise<number> {
    return new Promise((resolve, reject) => {
      if (this.index(topics) > after) {
        resolve(this.index(topics));
        return;
      }
      if (signal.aborted) {
        reject(abortReason(signal));
        return;
      }
      const finish = (): void => {
        end();
        signal.removeEventListener('abort', onAbort);
      };
      const end = this.subscribe(topics, () => {
        finish();
        resolve(this.index(topics));
      });
      const onAbort = (): void => {
        finish();
        reject(abortReason(signal));
      };
      signal.addEventListener('abort', onAbort, { once: true });
    });
  }

  /** How many listeners wait, for metrics. */
  get waiting(): number {
    let count = 0;
    for (const waiters of this.#waiters.values()) count += waiters.size;
    return count;
  }
}
