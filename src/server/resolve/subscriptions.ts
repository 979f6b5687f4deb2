import type { Step } from '../../domain/queries/plan.ts';
import type { Clock } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { createTaskGroup, type TaskGroup } from '../../lib/task.ts';
import type { QueryInstance } from '../../model/prepared-query.ts';
import type { Logger } from '../../telemetry/types.ts';
import { PATIENCE_MS } from './execute-query.ts';
import type { Mesh } from './mesh.ts';

/** One subscription that is followed: a selection of instances in a datacenter. */
export interface Subscription {
  /** As last told; undefined before the first answer. */
  readonly instances: readonly QueryInstance[] | undefined;
  /** The instances are those of a watch that goes on. */
  readonly current: boolean;
  /** It had its time to answer, and did not. */
  readonly late: boolean;
}

export interface SubscriptionsDeps {
  readonly mesh: Pick<Mesh, 'follow'>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** The subscriptions that somebody follows, each once however many they are. */
export class Subscriptions {
  readonly #deps: SubscriptionsDeps;
  readonly #shared = new Map<string, SharedSubscription>();
  readonly #closing = new Set<Promise<void>>();

  constructor(deps: SubscriptionsDeps) {
    this.#deps = deps;
  }

  /** Follows a subscription until released; calls `listener` after every change. */
  hold(step: Step, token: string, listener: () => void): { readonly subscription: Subscription; release(): void } {
    const { datacenter, selection } = step;
    const key = JSON.stringify([datacenter, selection, token]);
    let shared = this.#shared.get(key);
    if (shared === undefined) {
      shared = new SharedSubscription(this.#deps, step, token);
      this.#shared.set(key, shared);
    }
    const own = shared;
    own.listeners.add(listener);
    return {
      subscription: own,
      release: () => {
        own.listeners.delete(listener);
        if (own.listeners.size > 0 || this.#shared.get(key) !== own) return;
        this.#shared.delete(key);
        const closed = own.close().finally(() => this.#closing.delete(closed));
        this.#closing.add(closed);
      },
    };
  }

  /** Resolves once nothing runs of what was released. */
  async settled(): Promise<void> {
    await Promise.all(this.#closing);
  }
}

class SharedSubscription implements Subscription {
  readonly listeners = new Set<() => void>();
  instances: readonly QueryInstance[] | undefined;
  current = false;
  late = false;
  readonly #tasks: TaskGroup;

  constructor({ mesh, clock, log }: SubscriptionsDeps, { datacenter, selection }: Step, token: string) {
    this.#tasks = createTaskGroup({
      clock,
      onError: (_task, error) => {
        log.debug('following instances failed', { datacenter, service: selection.service, error: error.message });
        this.current = false;
        this.late = true;
        this.#tell();
      },
    });
    this.#tasks.loop(datacenter, { backoff: { baseMs: 100, maxMs: PATIENCE_MS } }, async (signal, progress) => {
      const patience = clock.after(PATIENCE_MS, () => {
        this.late = true;
        this.#tell();
      });
      try {
        const secret = token === '' ? {} : { token };
        for await (const instances of mesh.follow(datacenter, selection, { signal, ...secret })) {
          patience.cancel();
          progress();
          this.instances = instances;
          this.current = true;
          this.#tell();
        }
      } finally {
        patience.cancel();
      }
      throw new IsthmusError('unavailable', 'the watch ended');
    });
  }

  close(): Promise<void> {
    return this.#tasks.stop();
  }

  #tell(): void {
    for (const listener of [...this.listeners]) listener();
  }
}
