import type { Answer, CallOptions } from './options.ts';

/**
 * Follows a blocking query: yields the first answer, then each newer one. Errors are thrown to the caller, who decides
 * when to start again; aborting `signal` ends it quietly.
 */
export async function* watch<T>(
  read: (call: CallOptions) => Promise<Answer<T>>,
  signal: AbortSignal,
  wait = '5m',
): AsyncGenerator<T, void, void> {
  let index = 0;
  while (!signal.aborted) {
    let answer: Answer<T>;
    try {
      answer = await read(index === 0 ? { signal } : { signal, index, wait });
    } catch (error) {
      if (signal.aborted) return;
      throw error;
    }
    // An index that went back is that of another store; the answer is whole, so following goes on from there.
    const changed = index === 0 || answer.index !== index;
    index = Math.max(1, answer.index);
    if (changed) yield answer.value;
  }
}
