import { create } from '@bufbuild/protobuf';
import { status } from '@grpc/grpc-js';
import { abortReason, linkSignals } from '../../lib/signals.ts';
import type { EtcdClient } from './client.ts';
import { groupByRevision, type Revision } from './commits.ts';
import { CallFailure } from './failure.ts';
import { type Event, WatchRequestSchema } from './gen/etcdserverpb/etcd_pb.ts';
import { endOf, METHODS, revisionOf } from './wire.ts';

/** What etcd's compaction has taken from a watch. */
export class CompactedBy extends Error {
  readonly revision: number;

  constructor(revision: number) {
    super(`etcd has compacted up to revision ${revision}`);
    this.revision = revision;
  }
}

/**
 * The revisions from `from` on (etcd's numbers) in which a key below `root` changed, whole and in order, over one
 * stream. A revision without events tells that nothing else came up to it. Ends by throwing: {@link CompactedBy}, or a
 * {@link CallFailure} when the stream broke.
 */
export async function* watchStream(
  client: EtcdClient,
  root: string,
  from: number,
  signal: AbortSignal,
): AsyncGenerator<Revision, never, void> {
  const linked = linkSignals(signal, client.closed);
  let endpoint = client.endpoint;
  try {
    const opened = await client.stream(METHODS.watch);
    const { call } = opened;
    endpoint = opened.endpoint;
    const cancel = (): void => call.cancel();
    linked.signal.addEventListener('abort', cancel, { once: true });
    try {
      call.write(
        create(WatchRequestSchema, {
          requestUnion: {
            case: 'createRequest',
            value: {
              key: Buffer.from(root),
              rangeEnd: endOf(root),
              // One earlier: at the very revision of a compaction etcd begins a watch although deletions are gone.
              startRevision: BigInt(Math.max(1, from - 1)),
              progressNotify: true,
              fragment: true,
            },
          },
        }),
      );
      let parts: Event[] = [];
      for await (const reply of call) {
        if (linked.signal.aborted) break;
        if (reply.canceled) {
          if (reply.compactRevision > 0n) throw new CompactedBy(Number(reply.compactRevision));
          throw new CallFailure(endpoint, codeOf(reply.cancelReason), reply.cancelReason || 'the watch was ended');
        }
        client.answered();
        if (reply.created) continue;
        parts = parts.length === 0 ? reply.events : [...parts, ...reply.events];
        if (reply.fragment) continue;
        const revisions = parts.length === 0 ? [{ revision: revisionOf(reply), events: [] }] : groupByRevision(parts);
        parts = [];
        for (const revision of revisions) if (revision.revision >= from) yield revision;
      }
    } finally {
      linked.signal.removeEventListener('abort', cancel);
      call.cancel();
    }
    throw new CallFailure(endpoint, status.UNAVAILABLE, 'the watch ended');
  } catch (thrown) {
    if (linked.signal.aborted) throw abortReason(linked.signal);
    if (thrown instanceof CompactedBy) throw thrown;
    throw CallFailure.of(endpoint, thrown);
  } finally {
    linked.release();
  }
}

function codeOf(reason: string): status {
  return reason.includes('permission denied') ? status.PERMISSION_DENIED : status.UNAVAILABLE;
}
