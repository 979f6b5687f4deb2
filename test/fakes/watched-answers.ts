import { IsthmusError } from '../../src/lib/errors.ts';
import { AsyncQueue } from '../../src/lib/queue.ts';
import type { CallOptions, WatchUpdate } from '../../src/rpc/contract/contract.ts';

/** Servers as far as watches go: one answer for each token, which changes, is refused, or can't be reached. */
export class WatchedAnswers {
  readonly #answers = new Map<string, WatchUpdate<unknown> | IsthmusError>();
  readonly #open = new Map<string, Set<AsyncQueue<WatchUpdate<unknown>>>>();
  #down = false;
  #index = 0;
  /** Watches begun. */
  begun = 0;

  /** @param token '' is a watch without one */
  set(token: string, value: unknown): void {
    this.#index += 1;
    const update = { index: this.#index, value };
    this.#answers.set(token, update);
    for (const queue of this.#open.get(token) ?? []) queue.push(update);
  }

  refuse(token: string, error: IsthmusError): void {
    this.#answers.set(token, error);
    for (const queue of this.#open.get(token) ?? []) queue.fail(error);
  }

  cut(): void {
    this.#down = true;
    for (const queues of this.#open.values())
      for (const queue of queues) queue.fail(new IsthmusError('unavailable', 'no server is reached'));
  }

  heal(): void {
    this.#down = false;
  }

  readonly watch = (_name: string, _args: unknown, { token = '', signal }: CallOptions) => {
    this.begun += 1;
    if (this.#down) throw new IsthmusError('unavailable', 'no server is reached');
    const answer = this.#answers.get(token);
    if (answer instanceof IsthmusError) throw answer;
    const queue = new AsyncQueue<WatchUpdate<unknown>>();
    if (answer !== undefined) queue.push(answer);
    queue.endOn(signal);
    const open = this.#open.get(token) ?? new Set();
    this.#open.set(token, open.add(queue));
    signal.addEventListener('abort', () => open.delete(queue), { once: true });
    return queue;
  };

  /** Watches that are open. */
  get open(): number {
    return [...this.#open.values()].reduce((sum, queues) => sum + queues.size, 0);
  }
}
