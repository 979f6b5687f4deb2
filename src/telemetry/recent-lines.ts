import { AsyncQueue } from '../lib/queue.ts';

/** Lines that a slow reader may be behind. */
const MAX_BEHIND = 4_096;

/** The newest lines of the log, for those who ask afterwards, and every further one for those who follow. */
export class RecentLines {
  readonly #limit: number;
  readonly #lines: string[] = [];
  readonly #followers = new Set<AsyncQueue<string>>();
  /** Where the next line goes once the ring is full. */
  #next = 0;

  /** @param limit lines kept. */
  constructor(limit = 512) {
    this.#limit = limit;
  }

  push(line: string): void {
    if (this.#lines.length < this.#limit) this.#lines.push(line);
    else this.#lines[this.#next] = line;
    this.#next = (this.#next + 1) % this.#limit;
    for (const queue of this.#followers) queue.push(line);
  }

  /** Oldest first. */
  list(): readonly string[] {
    if (this.#lines.length < this.#limit) return [...this.#lines];
    return [...this.#lines.slice(this.#next), ...this.#lines.slice(0, this.#next)];
  }

  /** Every line from now on, until `signal` aborts. */
  async *follow(signal: AbortSignal): AsyncGenerator<string, void, void> {
    const queue = new AsyncQueue<string>(MAX_BEHIND);
    const unhook = queue.endOn(signal);
    this.#followers.add(queue);
    try {
      yield* queue;
    } finally {
      this.#followers.delete(queue);
      unhook();
    }
  }
}
