import { create } from '@bufbuild/protobuf';
import { IsthmusError } from '../../lib/errors.ts';
import { newUuid } from '../../lib/ids.ts';
import type { EtcdClient } from './client.ts';
import { type KeyValue, RangeRequestSchema, TxnRequestSchema } from './gen/etcdserverpb/etcd_pb.ts';
import { Head, type HeadValue, type Layout, type Origin, parseHead } from './head.ts';
import { modEquals, putOf } from './step.ts';
import { endOf, METHODS, revisionOf, text } from './wire.ts';

/** The store's head as etcd has it now, and etcd's newest revision. */
export interface HeadNow {
  readonly kv: KeyValue | undefined;
  readonly revision: number;
}

/** Asks all members: the answer is no older than the question. */
export async function askHead(client: EtcdClient, layout: Layout): Promise<HeadNow> {
  const request = create(RangeRequestSchema, { key: Buffer.from(layout.head) });
  const reply = await client.call('read the store', METHODS.range, request);
  return { kv: reply.kvs[0], revision: revisionOf(reply) };
}

/** Reads the head, or makes it in an empty prefix. */
export async function openHead(client: EtcdClient, layout: Layout): Promise<Head> {
  for (;;) {
    const { kv, revision } = await askHead(client, layout);
    if (kv !== undefined) return loadHead(client, layout, kv);
    await refuseOthers(client, layout);
    // The first revision of the store is 0, unless somebody else writes into this etcd at the same moment.
    const value: HeadValue = {
      format: 1,
      epoch: newUuid(),
      generation: '1',
      offset: -(revision + 1),
      heldFrom: 1,
      origins: 0,
    };
    const request = create(TxnRequestSchema, {
      compare: [modEquals(layout.head, 0)],
      success: [putOf(layout.head, JSON.stringify(value))],
    });
    await client.call('write', METHODS.txn, request); // whoever comes second finds it above
  }
}

/** The head, with the revisions that its rows had elsewhere. */
export async function loadHead(client: EtcdClient, layout: Layout, kv: KeyValue): Promise<Head> {
  const value = parseHead(kv.value, layout.head);
  const origins = new Map<string, Origin>();
  if (value.origins > 0) {
    const prefix = layout.origins(value.generation);
    const request = create(RangeRequestSchema, { key: Buffer.from(prefix), rangeEnd: endOf(prefix) });
    const reply = await client.call('read the store', METHODS.range, request);
    if (reply.kvs.length !== value.origins) {
      throw new IsthmusError('unavailable', 'the store in etcd was replaced while it was read; try again');
    }
    for (const part of reply.kvs) {
      for (const [key, ...origin] of JSON.parse(text(part.value)) as [string, ...Origin][]) origins.set(key, origin);
    }
  }
  return new Head(value, Number(kv.modRevision), layout, origins);
}

async function refuseOthers(client: EtcdClient, layout: Layout): Promise<void> {
  const request = create(RangeRequestSchema, {
    key: Buffer.from(layout.root),
    rangeEnd: endOf(layout.root),
    limit: 100n,
    keysOnly: true,
  });
  const { kvs } = await client.call('read the store', METHODS.range, request);
  const other = kvs.map(({ key }) => text(key)).find((key) => !ours(key, layout));
  if (other === undefined) return;
  throw new IsthmusError(
    'internal',
    `${layout.root} in etcd holds other keys (${other}) and no store; set another "storage.etcd.prefix"`,
  );
}

/** What others may have left: a store that was being brought in, and the slots of who made the head meanwhile. */
function ours(key: string, layout: Layout): boolean {
  return (
    key === layout.head ||
    key === layout.staging ||
    ['g/', 'o/', 'w/', 'c/'].some((part) => key.startsWith(layout.root + part))
  );
}
