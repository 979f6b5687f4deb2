import { abortReason } from '../lib/signals.ts';

/** Topics whose revisions are computed when they are asked for: there are too many to write each one down. */
export interface TopicSpace {
  /** The newest revision of a topic; at least the newest one given to {@link raise}, where nothing newer is known. */
  index(topic: string): number;
  /** Whatever happened before `revision` may be forgotten: every topic may have changed at it. */
  raise(revision: number): void;
  /** Somebody waits for the topic, after no one did. */
  watched(topic: string): void;
  /** No one waits for it any more. */
  unwatched(topic: string): void;
}

/**
 * Those who wait are woken this many in one turn of the event loop. Each then makes and sends an answer: thousands at
 * once would keep the writer, whose write they are woken by, and every other request waiting until the last has it.
 */
const WOKEN_AT_ONCE = 32;

/**
 * The revision at which each topic last changed, and those who wait for the next change. A topic is what a reader
 * asks for: a table ("nodes"), or part of one ("service:db"). Readers of one topic are not woken by another.
 */
export class Topics {
  /** Those who wait and whose topic has changed, in the order in which they came, until their turn. */
  readonly #due = new Set<() => void>();
  #turn: NodeJS.Immediate | undefined;
  readonly #revisions = new Map<string, number>();
  readonly #waiters = new Map<string, Set<() => void>>();
  /** Topics not touched since the store was loaded count as changed then: an index never goes back over a restart. */
  #floor = 1;
  /** By what their topics begin with. */
  readonly #spaces: { readonly mark: string; readonly space: TopicSpace }[] = [];

  /** From now on `space` knows the revisions of all topics that begin with `mark`. */
  addSpace(mark: string, space: TopicSpace): void {
    this.#spaces.push({ mark, space });
  }

  /** From now on every topic counts as changed at `revision`, at least; wakes all who wait. */
  raise(revision: number): void {
    this.#floor = Math.max(this.#floor, revision);
    for (const { space } of this.#spaces) space.raise(revision);
    const wake = new Set<() => void>();
    for (const waiters of this.#waiters.values()) for (const waiter of waiters) wake.add(waiter);
    for (const waiter of wake) waiter();
  }

  /** The newest revision of any of `topics`; at least 1. */
  index(topics: readonly string[]): number {
    let index = 0;
    let floor = topics.length === 0 ? this.#floor : 1;
    for (const topic of topics) {
      const space = this.#spaceOf(topic);
      const revision = space === undefined ? this.#revisions.get(topic) : space.index(topic);
      if (space === undefined) floor = this.#floor;
      if (revision !== undefined && revision > index) index = revision;
    }
    return Math.max(index, floor);
  }

  touch(topics: Iterable<string>, revision: number): void {
    const wake = new Set<() => void>();
    for (const topic of topics) {
      if (this.#spaceOf(topic) === undefined) this.#revisions.set(topic, revision);
      for (const waiter of this.#waiters.get(topic) ?? []) wake.add(waiter);
    }
    for (const waiter of wake) waiter();
  }

  /** Calls `listener` after every touch of one of `topics`; returns the function that ends it. */
  subscribe(topics: readonly string[], listener: () => void): () => void {
    for (const topic of topics) {
      let waiters = this.#waiters.get(topic);
      if (waiters === undefined) {
        waiters = new Set();
        this.#waiters.set(topic, waiters);
        this.#spaceOf(topic)?.watched(topic);
      }
      waiters.add(listener);
    }
    return () => {
      for (const topic of topics) {
        const waiters = this.#waiters.get(topic);
        if (waiters?.delete(listener) !== true || waiters.size > 0) continue;
        this.#waiters.delete(topic);
        this.#spaceOf(topic)?.unwatched(topic);
      }
    };
  }

  /** Resolves with the new index once it is above `after`; rejects when `signal` aborts. */
  wait(topics: readonly string[], after: number, signal: AbortSignal): Promise<number> {
    return new Promise((resolve, reject) => {
      if (this.index(topics) > after) {
        resolve(this.index(topics));
        return;
      }
      if (signal.aborted) {
        reject(abortReason(signal));
        return;
      }
      const finish = (): void => {
        end();
        this.#due.delete(wake);
        signal.removeEventListener('abort', onAbort);
      };
      const wake = (): void => {
        finish();
        resolve(this.index(topics));
      };
      const end = this.subscribe(topics, () => this.#wakeInTurn(wake));
      const onAbort = (): void => {
        finish();
        reject(abortReason(signal));
      };
      signal.addEventListener('abort', onAbort, { once: true });
    });
  }

  #spaceOf(topic: string): TopicSpace | undefined {
    for (const { mark, space } of this.#spaces) if (topic.startsWith(mark)) return space;
    return undefined;
  }

  /** In the turn that follows: the writer's answer goes out before. */
  #wakeInTurn(wake: () => void): void {
    this.#due.add(wake);
    this.#turn ??= setImmediate(() => this.#wakeSome());
  }

  #wakeSome(): void {
    this.#turn = undefined;
    let woken = 0;
    for (const wake of this.#due) {
      if (woken === WOKEN_AT_ONCE) break;
      woken += 1;
      wake(); // leaves the set
    }
    if (this.#due.size > 0) this.#turn = setImmediate(() => this.#wakeSome());
  }

  /** How many listeners wait, for metrics. */
  get waiting(): number {
    let count = 0;
    for (const waiters of this.#waiters.values()) count += waiters.size;
    return count;
  }
}
