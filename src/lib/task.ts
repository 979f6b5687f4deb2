import { setMaxListeners } from 'node:events';
import { Backoff, type BackoffOptions } from './backoff.ts';
import type { Clock } from './clock.ts';
import { IsthmusError } from './errors.ts';
import { sleep } from './signals.ts';

/** Runs background work so that nothing floats: each task is awaited on stop, each failure is reported. */
export interface TaskGroup {
  /** Runs `work` once; a failure goes to `onError` unless the group is stopping. */
  run(name: string, work: (signal: AbortSignal) => Promise<void>): void;
  /** Runs `work` again and again: after `pauseMs` when it ended well, after a growing backoff when it threw. */
  loop(name: string, options: LoopOptions, work: (signal: AbortSignal, progress: () => void) => Promise<void>): void;
  /** Aborts all; `stop` tells when they have ended. */
  cancel(): void;
  /** Aborts all and waits for them. */
  stop(): Promise<void>;
  readonly signal: AbortSignal;
}

export interface LoopOptions {
  /** Pause after a run that ended well, milliseconds. Default 0. */
  readonly pauseMs?: number | (() => number);
  readonly backoff?: BackoffOptions;
}

export interface TaskGroupDeps {
  readonly clock: Clock;
  /** Called once for each failure; the group goes on. `retryInMs` is absent when it will not be tried again. */
  readonly onError: (name: string, error: IsthmusError, retryInMs?: number) => void;
}

export function createTaskGroup(deps: TaskGroupDeps): TaskGroup {
  const controller = new AbortController();
  const { signal } = controller;
  setMaxListeners(0, signal); // all tasks share it
  const live = new Set<Promise<void>>();

  const keep = (promise: Promise<void>): void => {
    const kept = promise.finally(() => live.delete(kept));
    live.add(kept);
  };

  const cancel = (): void => controller.abort(new IsthmusError('cancelled', 'stopping'));

  return {
    signal,
    run(name, work) {
      if (signal.aborted) return;
      keep(
        work(signal).catch((error: unknown) => {
          if (!signal.aborted) deps.onError(name, IsthmusError.from(error));
        }),
      );
    },
    loop(name, options, work) {
      const backoff = new Backoff(options.backoff);
      const pause = (): number => (typeof options.pauseMs === 'function' ? options.pauseMs() : (options.pauseMs ?? 0));
      const runLoop = async (): Promise<void> => {
        while (!signal.aborted) {
          let wait: number;
          try {
            await work(signal, () => backoff.reset());
            backoff.reset();
            wait = pause();
          } catch (error) {
            if (signal.aborted) return;
            wait = backoff.next();
            deps.onError(name, IsthmusError.from(error), wait);
          }
          await sleep(deps.clock, wait, signal).catch(() => undefined); // only an abort rejects it
        }
      };
      if (!signal.aborted) keep(runLoop());
    },
    cancel,
    async stop() {
      cancel();
      while (live.size > 0) await Promise.allSettled([...live]);
    },
  };
}
