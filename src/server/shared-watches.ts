import type { Clock } from '../lib/clock.ts';
import { IsthmusError } from '../lib/errors.ts';
import { abortReason, linkSignals } from '../lib/signals.ts';
import { createTaskGroup } from '../lib/task.ts';
import type { WatchUpdate } from '../rpc/contract/contract.ts';

interface Shared {
  latest: WatchUpdate<unknown> | undefined;
  /** Updates so far. */
  version: number;
  /** Why there will be no more. */
  over: IsthmusError | undefined;
  readers: number;
  readonly wakes: Set<() => void>;
  readonly stop: (reason: IsthmusError) => void;
}

const UNREAD = new IsthmusError('cancelled', 'nobody watches any more');

/**
 * Watches on what others must be asked for, followed once for all who watch the same: a thousand agents that follow a
 * service of another datacenter cost one watch over the WAN. Each reader gets the newest answer at once, then later
 * ones.
 */
export class SharedWatches {
  readonly #tasks;
  readonly #shared = new Map<string, Shared>();

  constructor(clock: Clock) {
    this.#tasks = createTaskGroup({ clock, onError: () => undefined }); // each reader gets the error
  }

  get size(): number {
    return this.#shared.size;
  }

  /** @param key the question with everything that its answer depends on */
  async *watch<T>(
    key: string,
    begin: (signal: AbortSignal) => AsyncIterable<WatchUpdate<T>>,
    signal: AbortSignal,
  ): AsyncGenerator<WatchUpdate<T>, void, void> {
    const shared = this.#shared.get(key) ?? this.#begin(key, begin);
    shared.readers += 1;
    let seen = 0;
    try {
      for (;;) {
        if (signal.aborted) throw abortReason(signal);
        if (shared.version > seen) {
          seen = shared.version;
          yield shared.latest as WatchUpdate<T>;
        } else if (shared.over !== undefined) throw shared.over;
        else await changed(shared, signal);
      }
    } finally {
      shared.readers -= 1;
      if (shared.readers === 0) {
        this.#forget(key, shared);
        shared.stop(UNREAD);
      }
    }
  }

  #begin<T>(key: string, begin: (signal: AbortSignal) => AsyncIterable<WatchUpdate<T>>): Shared {
    const life = linkSignals();
    const shared: Shared = {
      latest: undefined,
      version: 0,
      over: undefined,
      readers: 0,
      wakes: new Set(),
      stop: (reason) => life.abort(reason),
    };
    this.#shared.set(key, shared);
    const wake = (): void => {
      for (const each of [...shared.wakes]) each();
    };
    this.#tasks.run(key, async () => {
      try {
        for await (const update of begin(life.signal)) {
          shared.latest = update;
          shared.version += 1;
          wake();
        }
        shared.over = new IsthmusError('unavailable', 'the watch ended');
      } catch (error) {
        shared.over = IsthmusError.from(error);
      }
      this.#forget(key, shared); // whoever asks from now on begins anew
      wake();
    });
    return shared;
  }

  #forget(key: string, shared: Shared): void {
    if (this.#shared.get(key) === shared) this.#shared.delete(key);
  }
}

function changed(shared: Shared, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const finish = (): void => {
      shared.wakes.delete(finish);
      signal.removeEventListener('abort', finish);
      resolve();
    };
    shared.wakes.add(finish);
    signal.addEventListener('abort', finish, { once: true });
  });
}
