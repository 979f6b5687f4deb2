import { create } from '@bufbuild/protobuf';
import type { Compare, Txn } from '../engine.ts';
import type { EtcdClient } from './client.ts';
import { type KeyValue, type ResponseOp, TxnRequestSchema } from './gen/etcdserverpb/etcd_pb.ts';
import type { Head, Layout } from './head.ts';
import { type CompareInit, compareOf, nest, rangeOf, room, unmarkedSince } from './step.ts';
import { METHODS, revisionOf, text } from './wire.ts';

/** Keys asked for in one call. */
const MAX_KEYS = 3_600;

/** What a transaction's comparisons say of one state of the store. */
export interface Looked {
  readonly held: boolean;
  /** etcd's revision of that state. */
  readonly revision: number;
  /** Keys attached to a lease. */
  readonly leased: ReadonlySet<string>;
}

/**
 * What etcd has to compare for a step. A transaction with more comparisons than etcd takes is looked at first; the step
 * then holds only if no step has written to the tables concerned since: their marks show it. Rows attached to a
 * lease are compared themselves, because the end of a lease leaves no mark.
 */
export async function comparing(
  client: EtcdClient,
  txn: Txn,
  head: Head,
  layout: Layout,
): Promise<readonly CompareInit[] | { readonly refusedAt: number }> {
  const space = room(txn);
  const all = txn.compare.flatMap((one) => compareOf(one, head));
  if (all.length <= space) return all;
  const { held, revision, leased } = await look(client, txn.compare, head);
  if (!held) return { refusedAt: revision };
  const marks = new Set(txn.compare.map(({ key }) => layout.mark(key)));
  return [
    ...[...marks].map((mark) => unmarkedSince(mark, revision)),
    ...txn.compare.filter(({ key }) => leased.has(key)).flatMap((one) => compareOf(one, head)),
  ];
}

/** Looks whether comparisons hold, all at the same revision. */
export async function look(client: EtcdClient, compare: readonly Compare[], head: Head): Promise<Looked> {
  let revision = 0;
  let held = true;
  const leased = new Set<string>();
  for (let at = 0; at === 0 || at < compare.length; at += MAX_KEYS) {
    const part = compare.slice(at, at + MAX_KEYS);
    const options = { keysOnly: true, revision: BigInt(revision) };
    const success = nest(part.map(({ key }) => rangeOf(head.rowsRoot + key, options)));
    const reply = await client.call('read the store', METHODS.txn, create(TxnRequestSchema, { success }));
    if (revision === 0) revision = revisionOf(reply);
    const found = new Map<string, KeyValue>();
    collect(reply.responses, found);
    for (const { key, modRevision } of part) {
      const kv = found.get(head.rowsRoot + key);
      if (kv !== undefined && kv.lease !== 0n) leased.add(key);
      if ((kv === undefined ? 0 : head.row(key, kv).modRevision) !== modRevision) held = false;
    }
  }
  return { held, revision, leased };
}

function collect(responses: readonly ResponseOp[], found: Map<string, KeyValue>): void {
  for (const { response } of responses) {
    if (response.case === 'responseTxn') collect(response.value.responses, found);
    if (response.case === 'responseRange') for (const kv of response.value.kvs) found.set(text(kv.key), kv);
  }
}
