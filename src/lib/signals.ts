import type { Clock } from './clock.ts';
import { IsthmusError } from './errors.ts';

/** A controller that aborts with its parents; call `release` when done so that the parents drop it. */
export interface LinkedSignal {
  readonly signal: AbortSignal;
  abort(reason?: unknown): void;
  release(): void;
}

export function linkSignals(...parents: (AbortSignal | undefined)[]): LinkedSignal {
  const controller = new AbortController();
  const undo: (() => void)[] = [];
  for (const parent of parents) {
    if (parent === undefined) continue;
    if (parent.aborted) {
      controller.abort(parent.reason);
      break;
    }
    const onAbort = (): void => controller.abort(parent.reason);
    parent.addEventListener('abort', onAbort, { once: true });
    undo.push(() => parent.removeEventListener('abort', onAbort));
  }
  return {
    signal: controller.signal,
    abort: (reason) => controller.abort(reason),
    release: () => {
      for (const step of undo) step();
    },
  };
}

/** A linked signal that also aborts with code `deadline` after `ms`. */
export function withDeadline(
  clock: Clock,
  ms: number,
  what: string,
  ...parents: (AbortSignal | undefined)[]
): LinkedSignal {
  const linked = linkSignals(...parents);
  const timer = clock.after(ms, () =>
    linked.abort(new IsthmusError('deadline', `${what} did not finish within ${ms} ms`)),
  );
  return {
    signal: linked.signal,
    abort: linked.abort,
    release: () => {
      timer.cancel();
      linked.release();
    },
  };
}

/** The typed error behind an aborted signal. */
export function abortReason(signal: AbortSignal): IsthmusError {
  return signal.reason instanceof IsthmusError
    ? signal.reason
    : new IsthmusError('cancelled', 'cancelled', { cause: signal.reason });
}

export function throwIfAborted(signal: AbortSignal): void {
  if (signal.aborted) throw abortReason(signal);
}

/** Resolves once the signal aborts. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

/** Resolves after `ms`, rejects when `signal` aborts. */
export function sleep(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(abortReason(signal));
      return;
    }
    const onAbort = (): void => {
      timer.cancel();
      reject(abortReason(signal));
    };
    const timer = clock.after(ms, () => {
      signal.removeEventListener('abort', onAbort);
      resolve();
    });
    signal.addEventListener('abort', onAbort, { once: true });
  });
}

/** Settles like `promise`, or rejects when `signal` aborts first. The promise itself goes on. */
export function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(abortReason(signal));
      return;
    }
    const onAbort = (): void => reject(abortReason(signal));
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
