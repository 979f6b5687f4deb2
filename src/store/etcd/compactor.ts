import { create } from '@bufbuild/protobuf';
import type { EtcdClient } from './client.ts';
import { CallFailure } from './failure.ts';
import { CompactionRequestSchema } from './gen/etcdserverpb/etcd_pb.ts';
import { METHODS } from './wire.ts';

/** Forgets etcd's history before `revision` (etcd's number). */
export async function compactAt(client: EtcdClient, revision: number): Promise<void> {
  if (revision < 1) return;
  const request = create(CompactionRequestSchema, { revision: BigInt(revision) });
  await client.run('compact its history', async () => {
    try {
      await client.attempt(METHODS.compact, request);
    } catch (thrown) {
      if (!(thrown instanceof CallFailure && thrown.is('has been compacted'))) throw thrown;
    }
  });
}

/**
 * Makes the round that keeps etcd's history from growing without end: forgets what is older than the round before and
 * not among the `keep` newest revisions. Every server makes it; what the second one asks for is done already.
 */
export function compactor(client: EtcdClient, keep: number, newest: () => Promise<number>): () => Promise<void> {
  let before = 0;
  let done = 0;
  return async () => {
    const now = await newest();
    const upTo = Math.min(before, now - keep);
    before = now;
    if (upTo <= done) return;
    await compactAt(client, upTo);
    done = upTo;
  };
}
