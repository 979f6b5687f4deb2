import { IsthmusError } from '../../lib/errors.ts';
import { linkSignals, throwIfAborted } from '../../lib/signals.ts';
import type { Commit, WatchQuery } from '../engine.ts';
import { compactedError } from '../watchers.ts';
import type { EtcdClient } from './client.ts';
import { commitOf, replaces } from './commits.ts';
import type { CurrentHead } from './current.ts';
import { CallFailure } from './failure.ts';
import type { Head } from './head.ts';
import type { Progress } from './progress.ts';
import { CompactedBy, watchStream } from './watch-stream.ts';

/** Between two looks whether etcd, which is out of reach, is back, milliseconds. */
const OUTAGE_PAUSE_MS = 500;

/** Watches that go on over broken connections and from member to member, with nothing left out and nothing twice. */
export class Watches {
  readonly #client: EtcdClient;
  readonly #current: CurrentHead;
  readonly #progress: Progress;

  constructor(client: EtcdClient, current: CurrentHead, progress: Progress) {
    this.#client = client;
    this.#current = current;
    this.#progress = progress;
  }

  async *watch(query: WatchQuery): AsyncGenerator<Commit, void, void> {
    const { prefix, signal, progress = false } = query;
    throwIfAborted(this.#client.closed);
    throwIfAborted(signal);
    const head = this.#current.value;
    const { root, head: headKey } = this.#current.layout;
    const from = Math.max(1, query.fromRevision);
    if (from < head.first) throw compactedError(head.first - 1);
    let next = Math.max(head.toEtcd(from), head.since + 1);
    const position = progress ? this.#progress.follow(head.toRevision(next - 1)) : undefined;
    const backoff = this.#client.newBackoff();
    let renewed = false;
    // A watch from a revision that is still to come does not see the head change.
    const life = linkSignals(signal, this.#current.replaced);
    try {
      for (;;) {
        try {
          for await (const revision of watchStream(this.#client, root, next, life.signal)) {
            backoff.reset();
            renewed = false;
            next = revision.revision + 1;
            if (replaces(revision, headKey)) await this.#takeUp(head);
            const commit = commitOf(revision, head, prefix);
            if (position !== undefined) position.revision = commit.revision;
            if (commit.changes.length > 0 || progress) yield commit;
            throwIfAborted(signal);
          }
        } catch (thrown) {
          if (thrown instanceof CompactedBy) {
            await this.#takeUp(head); // when the content was replaced since, that is what its reader has to know
            throw compactedError(head.toRevision(thrown.revision));
          }
          if (life.signal.aborted) {
            throwIfAborted(signal);
            await this.#takeUp(head);
          }
          if (!(thrown instanceof CallFailure)) throw thrown;
          if (thrown.kind === 'final') {
            // etcd 3.4 also says "permission denied" of a token that it has forgotten.
            if (renewed || !thrown.is('permission denied')) throw thrown.toError('watch the store');
            renewed = true;
            this.#client.renewToken();
          } else this.#client.failed(thrown);
        }
        this.#client.meters.watchReconnects.add();
        await this.#client.pause(backoff.next(), signal);
        await this.#checkHistory(head, next - 1, signal);
      }
    } finally {
      life.release();
      if (position !== undefined) this.#progress.end(position);
    }
  }

  /** Throws `compacted` when the content was replaced: whoever watches reads it anew. */
  async #takeUp(head: Head): Promise<number> {
    const newest = await this.#current.newest();
    const now = this.#current.value;
    if (now.since !== head.since) throw compactedError(now.first - 1);
    return newest;
  }

  /** After a broken watch: etcd must still hold what was seen, and not be another or an older one. */
  async #checkHistory(head: Head, seen: number, signal: AbortSignal): Promise<void> {
    for (;;) {
      throwIfAborted(signal);
      throwIfAborted(this.#client.closed);
      try {
        const newest = await this.#takeUp(head);
        if (newest >= seen) return;
        throw new IsthmusError(
          'internal',
          `etcd went back in time, from revision ${seen} to ${newest}: restore the right data there, then start ` +
            `this server again`,
        );
      } catch (error) {
        if (!(error instanceof IsthmusError && error.code === 'unavailable')) throw error;
        await this.#client.pause(OUTAGE_PAUSE_MS, signal);
      }
    }
  }
}
