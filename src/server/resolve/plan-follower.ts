import type { Step } from '../../domain/queries/plan.ts';
import { abortReason } from '../../lib/signals.ts';
import type { Mesh } from './mesh.ts';
import type { Subscription, Subscriptions } from './subscriptions.ts';

export interface PlanFollowerDeps {
  readonly mesh: Pick<Mesh, 'onChange'>;
  readonly subscriptions: Subscriptions;
  /** Calls `listener` after every change of one of `topics`; returns what ends it. */
  readonly subscribe: (topics: readonly string[], listener: () => void) => () => void;
}

/**
 * What one follower looks at: in rounds, each of which names the topics that its plan came from and the subscriptions that it
 * wants. What a round no longer names is let go.
 */
export class PlanFollower {
  readonly #deps: PlanFollowerDeps;
  readonly #held = new Map<string, { readonly subscription: Subscription; release(): void }>();
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

  /** The subscription, followed from now on. */
  subscription(step: Step, token: string): Subscription {
    const { datacenter, selection } = step;
    const key = JSON.stringify([datacenter, selection, token]);
    this.#wanted.add(key);
    let held = this.#held.get(key);
    if (held === undefined) {
      held = this.#deps.subscriptions.hold(step, token, () => this.#poke());
      this.#held.set(key, held);
    }
    return held.subscription;
  }

  end(topics: readonly string[]): void {
    for (const [key, held] of this.#held) {
      if (this.#wanted.has(key)) continue;
      this.#held.delete(key);
      held.release();
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

  async close(): Promise<void> {
    this.#endMesh();
    this.#endTopics();
    for (const { release } of this.#held.values()) release();
    this.#held.clear();
    await this.#deps.subscriptions.settled();
  }

  #poke(): void {
    this.#dirty = true;
    this.#wake?.();
    this.#wake = undefined;
  }
}
