import type { Step } from '../../domain/queries/plan.ts';
import { abortReason } from '../../lib/signals.ts';
import type { QueryInstance } from '../../model/prepared-query.ts';
import { questionKey } from '../../rpc/subscribe/question.ts';
import type { Followed, WatchPool } from '../../rpc/subscribe/watch-pool.ts';
import { candidatesOf, type Mesh } from './mesh.ts';

export interface PlanFollowerDeps {
  readonly mesh: Pick<Mesh, 'onChange'>;
  readonly pool: Pick<WatchPool, 'follow'>;
  /** Calls `listener` after every change of one of `topics`; returns what ends it. */
  readonly subscribe: (topics: readonly string[], listener: () => void) => () => void;
}

/** What is known of the instances of one step. */
export interface StepState {
  /** The newest that are known, however old; undefined before the first answer. */
  readonly instances: readonly QueryInstance[] | undefined;
  /** They are those of a watch that goes on. */
  readonly current: boolean;
  /** There was no answer in time, or the watch broke. */
  readonly late: boolean;
}

interface Subscription {
  state: Followed<readonly QueryInstance[]> | undefined;
  end(): void;
}

/**
 * What one follower subscribes to, in rounds: each round names the topics that its plan came from and the steps that it
 * needs. What a round no longer names is unsubscribed.
 */
export class PlanFollower {
  readonly #deps: PlanFollowerDeps;
  readonly #subscriptions = new Map<string, Subscription>();
  readonly #wanted = new Set<string>();
  readonly #endMesh: () => void;
  #topics: readonly string[] = [];
  #endTopics = (): void => undefined;
  #dirty = false;
  #wake: (() => void) | undefined;

  constructor(deps: PlanFollowerDeps) {
    this.#deps = deps;
    this.#endMesh = deps.mesh.onChange(() => this.#poke());
  }

  begin(): void {
    this.#dirty = false;
    this.#wanted.clear();
  }

  /** The state of a step, which is followed from now on. */
  step(step: Step, token: string): StepState {
    const question = candidatesOf(step, token);
    const key = questionKey(question);
    this.#wanted.add(key);
    let subscription = this.#subscriptions.get(key);
    if (subscription === undefined) {
      subscription = this.#follow(question);
      this.#subscriptions.set(key, subscription);
    }
    const { value, problem } = subscription.state ?? {};
    const late = problem !== undefined;
    return { instances: value, current: value !== undefined && !late, late };
  }

  end(topics: readonly string[]): void {
    for (const [key, subscription] of this.#subscriptions) {
      if (this.#wanted.has(key)) continue;
      this.#subscriptions.delete(key);
      subscription.end();
    }
    if (topics.length === this.#topics.length && topics.every((topic, n) => topic === this.#topics[n])) return;
    const before = this.#endTopics;
    this.#topics = topics;
    this.#endTopics = this.#deps.subscribe(topics, () => this.#poke());
    before();
  }

  /** Resolves once another round is due; rejects when `signal` aborts. */
  async changed(signal: AbortSignal): Promise<void> {
    if (signal.aborted) throw abortReason(signal);
    if (this.#dirty) return;
    await new Promise<void>((resolve, reject) => {
      const onAbort = (): void => reject(abortReason(signal));
      signal.addEventListener('abort', onAbort, { once: true });
      this.#wake = () => {
        signal.removeEventListener('abort', onAbort);
        resolve();
      };
    });
  }

  close(): void {
    this.#endMesh();
    this.#endTopics();
    for (const subscription of this.#subscriptions.values()) subscription.end();
    this.#subscriptions.clear();
  }

  #follow({ name, args, ...where }: ReturnType<typeof candidatesOf>): Subscription {
    const subscription: Subscription = { state: undefined, end: () => undefined };
    let begun = false; // what is known already comes at once: the round that asks for it sees it
    subscription.end = this.#deps.pool.follow(name, args, where, (state) => {
      subscription.state = state;
      if (begun) this.#poke();
    });
    begun = true;
    return subscription;
  }

  #poke(): void {
    this.#dirty = true;
    this.#wake?.();
    this.#wake = undefined;
  }
}
