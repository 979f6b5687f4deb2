import type { Clock, Timer } from '../../lib/clock.ts';

/** Passes on what `source` yields, and `undefined` whenever it was silent for `everyMs`. */
export async function* heartbeats<T>(
  source: AsyncIterable<T>,
  clock: Clock,
  everyMs: number,
  signal: AbortSignal,
): AsyncGenerator<T | undefined, void, void> {
  const iterator = source[Symbol.asyncIterator]();
  let next = iterator.next();
  try {
    while (!signal.aborted) {
      let timer: Timer | undefined;
      const silence = new Promise<undefined>((resolve) => {
        timer = clock.after(everyMs, () => resolve(undefined));
      });
      let item: IteratorResult<T> | undefined;
      try {
        item = await Promise.race([next, silence]);
      } finally {
        timer?.cancel();
      }
      if (item === undefined) yield undefined;
      else if (item.done) return;
      else {
        yield item.value;
        next = iterator.next();
      }
    }
  } finally {
    next.catch(() => undefined); // it is not awaited any more; an aborted source rejects it
    await iterator.return?.();
  }
}
