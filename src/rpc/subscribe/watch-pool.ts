import type { Clock } from '../../lib/clock.ts';
import { type ErrorCode, IsthmusError } from '../../lib/errors.ts';
import type { Service } from '../../lib/service.ts';
import { sleep } from '../../lib/signals.ts';
import { createTaskGroup, type TaskGroup } from '../../lib/task.ts';
import type { Logger, Metrics } from '../../telemetry/types.ts';
import type { ServerContract } from '../contract/contract.ts';
import type { ReadArgs, ReadName, ReadValue } from '../contract/reads.ts';
import { questionKey } from './question.ts';

/** What is known of a followed answer. After a first value, the newest one is kept however long the watch is broken. */
export interface Followed<T> {
  readonly value?: T;
  readonly index: number;
  /** Why the watch is broken now. */
  readonly problem?: string;
  readonly code?: ErrorCode;
  /** Since when it is, milliseconds since the epoch: how old the value may be. */
  readonly lostAt?: number;
}

export interface FollowOptions {
  readonly datacenter?: string;
  readonly token?: string;
}

export interface WatchPoolDeps {
  readonly contract: Pick<ServerContract, 'watch'>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** A question without an answer for this long is one with a problem, milliseconds; absent: when its watch breaks. */
  readonly answerWithinMs?: number;
}

interface Shared {
  state: Followed<unknown> | undefined;
  readonly listeners: Set<(state: Followed<unknown>) => void>;
  readonly tasks: TaskGroup;
}

/** Watches on the servers, one for each question however many follow it. */
export class WatchPool implements Service {
  readonly name = 'watch pool';
  readonly #deps: WatchPoolDeps;
  readonly #shared = new Map<string, Shared>();
  readonly #stopping = new Set<Promise<void>>();

  constructor(deps: WatchPoolDeps) {
    this.#deps = deps;
    deps.metrics.gauge({ name: 'isthmus_agent_watches', help: 'Watches that this agent holds on its servers' }, (set) =>
      set(this.#shared.size),
    );
  }

  async start(): Promise<void> {}

  async stop(): Promise<void> {
    for (const key of [...this.#shared.keys()]) this.#end(key);
    await Promise.all(this.#stopping);
  }

  /** Calls `onState` with what is known, now and after every change; returns the function that ends it. */
  follow<N extends ReadName>(
    name: N,
    args: ReadArgs<N>,
    options: FollowOptions,
    onState: (state: Followed<ReadValue<N>>) => void,
  ): () => void {
    const key = questionKey({ name, args, ...options });
    let shared = this.#shared.get(key);
    if (shared === undefined) {
      shared = this.#begin(name, args, options);
      this.#shared.set(key, shared);
    }
    const own = shared;
    const listener = (state: Followed<unknown>): void => onState(state as Followed<ReadValue<N>>);
    own.listeners.add(listener);
    if (own.state !== undefined) listener(own.state);
    return () => {
      own.listeners.delete(listener);
      if (own.listeners.size === 0 && this.#shared.get(key) === own) this.#end(key);
    };
  }

  #begin<N extends ReadName>(name: N, args: ReadArgs<N>, options: FollowOptions): Shared {
    const { contract, clock, log } = this.#deps;
    const tasks = createTaskGroup({
      clock,
      onError: (_task, error) => {
        log.debug('watch broken', { read: name, datacenter: options.datacenter, error: error.message });
        const { index = 0, lostAt = clock.steady() } = shared.state ?? {};
        tell({ ...shared.state, index, problem: error.message, code: error.code, lostAt });
      },
    });
    const shared: Shared = { state: undefined, listeners: new Set(), tasks };
    const tell = (state: Followed<unknown>): void => {
      shared.state = state;
      for (const listener of [...shared.listeners]) listener(state);
    };
    const { datacenter, token } = options;
    const { answerWithinMs } = this.#deps;
    if (answerWithinMs !== undefined)
      tasks.run('first answer', async (signal) => {
        await sleep(clock, answerWithinMs, signal);
        const problem = `no answer within ${answerWithinMs / 1_000} s`;
        if (shared.state === undefined) tell({ index: 0, problem, code: 'deadline', lostAt: clock.steady() });
      });
    tasks.loop(name, { backoff: { baseMs: 100, maxMs: 5_000 } }, async (signal, progress) => {
      const updates = contract.watch(name, args, {
        signal,
        ...(datacenter === undefined ? {} : { datacenter }),
        ...(token === undefined ? {} : { token }),
        ...(shared.state?.value === undefined ? {} : { known: shared.state.value }),
      });
      for await (const { value, index } of updates) {
        progress();
        tell({ value, index });
      }
      throw new IsthmusError('unavailable', 'the watch ended');
    });
    return shared;
  }

  #end(key: string): void {
    const shared = this.#shared.get(key);
    if (shared === undefined) return;
    this.#shared.delete(key);
    const stopped = shared.tasks.stop().finally(() => this.#stopping.delete(stopped));
    this.#stopping.add(stopped);
  }
}
