import { IsthmusError } from './errors.ts';
import { abortReason } from './signals.ts';

/**
 * A bounded queue with one reader: `push` by anyone, `for await` by one. When it is full, `push` returns false and
 * the queue fails with `unavailable` (a reader that is too slow must start over, never silently miss an item).
 */
export class AsyncQueue<T> implements AsyncIterable<T> {
  readonly #items: T[] = [];
  readonly #limit: number;
  #wake: (() => void) | undefined;
  #ended = false;
  #error: IsthmusError | undefined;

  /** @param limit items held at most. Default 65,536. */
  constructor(limit = 65_536) {
    this.#limit = limit;
  }

  get length(): number {
    return this.#items.length;
  }

  push(item: T): boolean {
    if (this.#ended) return false;
    if (this.#items.length >= this.#limit) {
      this.fail(new IsthmusError('unavailable', `the reader is more than ${this.#limit} items behind; start over`));
      return false;
    }
    this.#items.push(item);
    this.#wake?.();
    return true;
  }

  /** Ends the queue after the items already in it. */
  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  /** Ends the queue with an error, dropping what is in it. */
  fail(error: IsthmusError): void {
    if (this.#ended) return;
    this.#error = error;
    this.#items.length = 0;
    this.end();
  }

  /** Ends with the signal's reason when it aborts; returns the function that unhooks it. */
  endOn(signal: AbortSignal): () => void {
    const onAbort = (): void => this.fail(abortReason(signal));
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
    return () => signal.removeEventListener('abort', onAbort);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, void> {
    let head = 0; // shifting an array one by one is slow: take a batch, then yield
    let batch: T[] = [];
    for (;;) {
      if (this.#error !== undefined) throw this.#error;
      if (head < batch.length) {
        yield batch[head++] as T;
        continue;
      }
      if (this.#items.length > 0) {
        batch = this.#items.splice(0);
        head = 0;
        continue;
      }
      if (this.#ended) return;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
  }
}
