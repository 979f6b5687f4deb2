import { IsthmusError } from '../lib/errors.ts';
import { AsyncQueue } from '../lib/queue.ts';
import { throwIfAborted } from '../lib/signals.ts';
import type { Commit, WatchQuery } from './engine.ts';

/** Where a watcher that starts in the past finds what it missed. */
export interface History {
  /** Commits up to this revision are forgotten. */
  compacted(): number;
  /** The newest revision that watchers may see. */
  newest(): number;
  /** Commits of consecutive revisions from `from` on, at least one when `from` <= newest(). */
  read(from: number): readonly Commit[];
}

interface Watcher {
  readonly prefix: string;
  readonly from: number;
  readonly queue: AsyncQueue<Commit>;
}

/** Gives each commit to all who watch: first from the history, then live, with no gap and nothing twice. */
export class Watchers {
  readonly #history: History;
  readonly #live = new Set<Watcher>();
  #closed: IsthmusError | undefined;

  constructor(history: History) {
    this.#history = history;
  }

  /** Hands a commit to the live watchers. Call in the order of revisions, after `newest()` has moved. */
  publish(commit: Commit): void {
    for (const watcher of this.#live) {
      if (commit.revision < watcher.from) continue;
      const part = restrict(commit, watcher.prefix, false);
      if (part !== undefined) watcher.queue.push(part);
    }
  }

  async *watch({ prefix, fromRevision, signal, progress = false }: WatchQuery): AsyncGenerator<Commit, void, void> {
    let next = Math.max(1, fromRevision);
    for (;;) {
      if (this.#closed !== undefined) throw this.#closed;
      throwIfAborted(signal);
      if (next <= this.#history.compacted()) throw compactedError(this.#history.compacted());
      if (next > this.#history.newest()) break;
      for (const commit of this.#history.read(next)) {
        next = commit.revision + 1;
        const part = restrict(commit, prefix, progress);
        if (part === undefined) continue;
        yield part;
        throwIfAborted(signal);
      }
    }
    const watcher: Watcher = { prefix, from: next, queue: new AsyncQueue<Commit>() };
    this.#live.add(watcher); // in the same turn as the comparison with newest(): no commit falls between
    const unhook = watcher.queue.endOn(signal);
    try {
      yield* watcher.queue;
    } finally {
      unhook();
      this.#live.delete(watcher);
    }
  }

  /**
   * Ends the live watchers with `error`: what they wait for will not come. Those that read the history find out there.
   */
  interrupt(error: IsthmusError): void {
    for (const watcher of this.#live) watcher.queue.fail(error);
  }

  /** Ends all watchers, and those to come, with `error`. */
  close(error: IsthmusError): void {
    this.#closed = error;
    for (const watcher of this.#live) watcher.queue.fail(error);
  }
}

/** The commit as far as it touches the prefix. One without any change stands where a history of another store ends. */
function restrict(commit: Commit, prefix: string, progress: boolean): Commit | undefined {
  if (prefix === '' && commit.changes.length > 0) return commit;
  const changes = commit.changes.filter((change) => change.key.startsWith(prefix));
  return changes.length === 0 && !progress ? undefined : { revision: commit.revision, changes };
}

/** Tells from which revision on the history is held. */
export function compactedError(compacted: number): IsthmusError {
  return new IsthmusError('compacted', `the store holds revisions from ${compacted + 1} on; read it anew`, {
    details: { revision: compacted + 1 },
  });
}

/** Tells that the store is being replaced already. */
export function restoringError(): IsthmusError {
  return new IsthmusError('unavailable', 'the store is being restored already; wait until that has ended');
}
