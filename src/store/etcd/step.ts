import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { IsthmusError } from '../../lib/errors.ts';
import type { Compare, Op, Txn } from '../engine.ts';
import {
  type CompareSchema,
  type RequestOpSchema,
  type TxnRequest,
  TxnRequestSchema,
  type TxnResponse,
} from './gen/etcdserverpb/etcd_pb.ts';
import type { Head, Layout } from './head.ts';
import { revisionOf, text } from './wire.ts';

export type CompareInit = MessageInitShape<typeof CompareSchema>;
export type OpInit = MessageInitShape<typeof RequestOpSchema>;

/**
 * Operations, and comparisons, at each level of a transaction that is nested one, two, three or four deep. etcd takes
 * 128 (--max-txn-ops, as installed), and what a level has counts for those below it too; some are left for the fence.
 */
const LEVELS = [120, 60, 40, 30] as const;
const EQUAL = 0;
const GREATER = 1;
const LESS = 2;
const MOD = 2;

/** A key that only one running step of one writer writes. */
export interface Slot {
  readonly key: string;
  /** etcd's lease that it is attached to. */
  readonly lease: bigint;
  /** etcd's revision at which it was written last; 0 when never. */
  mod: number;
}

/** A transaction on its way to etcd. */
export interface Step {
  readonly txn: Txn;
  /** What has to hold beside the slot and the head. */
  readonly compare: readonly CompareInit[];
  readonly head: Head;
  readonly layout: Layout;
  readonly slot: Slot;
  /** Tells this step from the others that the slot was used for. */
  readonly id: string;
}

/**
 * - applied: at this revision of etcd, now or by an earlier try
 * - refused: a comparison failed and no try can be applied any more
 * - replaced: the store's content was replaced; nothing was written
 * - stale: the slot is gone, and with it the certainty that earlier tries were not applied
 */
export type Outcome =
  | { readonly kind: 'applied'; readonly revision: number }
  | { readonly kind: 'refused'; readonly revision: number }
  | { readonly kind: 'replaced' }
  | { readonly kind: 'stale' };

/**
 * The step as one transaction of etcd. It holds only while its slot is as the writer left it, and writes the slot: it
 * can be sent again and again and is applied at most once. From the second try on a failed comparison writes the slot
 * too, so that a try still under way can't be applied after its failure was reported.
 */
export function stepRequest({ txn, compare, head, layout, slot, id }: Step, attempt: number): TxnRequest {
  const slotHolds = modIs(slot.key, EQUAL, slot.mod);
  const fence = nested({ compare: [slotHolds], success: [putOf(slot.key, refusal(id), slot.lease)] });
  const marks = new Set(txn.ops.map((op) => layout.mark(op.key)));
  return create(TxnRequestSchema, {
    compare: [modIs(layout.head, EQUAL, head.since), slotHolds, ...compare],
    success: nest([
      ...txn.ops.map((op) => opOf(op, head)),
      ...[...marks].map((mark) => putOf(mark, '')),
      putOf(slot.key, id, slot.lease),
    ]),
    failure: [...(attempt > 1 ? [fence] : []), rangeOf(slot.key), rangeOf(layout.head)],
  });
}

export function stepOutcome({ slot, id, head }: Step, reply: TxnResponse): Outcome {
  const revision = revisionOf(reply);
  if (reply.succeeded) {
    slot.mod = revision;
    return { kind: 'applied', revision };
  }
  const [slotNow, headNow] = reply.responses.flatMap(({ response }) =>
    response.case === 'responseRange' ? [response.value.kvs[0]] : [],
  );
  const mod = Number(slotNow?.modRevision ?? 0n);
  const was = slotNow === undefined ? '' : text(slotNow.value);
  if (mod !== slot.mod && was !== id && was !== refusal(id)) return { kind: 'stale' };
  slot.mod = mod;
  if (was === id) return { kind: 'applied', revision: mod };
  return Number(headNow?.modRevision ?? 0n) === head.since ? { kind: 'refused', revision } : { kind: 'replaced' };
}

const refusal = (id: string): string => `${id} refused`;

/** How many comparisons the step can carry beside those for the slot and the head. */
export function room({ ops }: Txn): number {
  // A mark for each operation, at most, and the slot.
  return (LEVELS.find((level, deep) => ops.length * 2 + 1 <= level ** (deep + 1)) ?? 2) - 2;
}

/** A row that was brought in has another revision in etcd than the one it is known by. */
export function compareOf({ key, modRevision }: Compare, head: Head): CompareInit[] {
  const full = head.rowsRoot + key;
  if (modRevision === 0) return [modIs(full, EQUAL, 0)];
  const etcd = head.toEtcd(modRevision);
  if (etcd > head.since) return [modIs(full, EQUAL, etcd)];
  if (head.isOrigin(key, modRevision)) return [modIs(full, GREATER, 0), modIs(full, LESS, head.since)];
  return [modIs(full, LESS, 0)]; // never holds
}

/** Holds while no step has written what this mark stands for after `revision`. */
export function unmarkedSince(mark: string, revision: number): CompareInit {
  return modIs(mark, LESS, revision + 1);
}

export function modEquals(key: string, revision: number): CompareInit {
  return modIs(key, EQUAL, revision);
}

export function putOf(key: string, value: string, lease = 0n): OpInit {
  const put = { key: Buffer.from(key), value: Buffer.from(value), lease };
  return { request: { case: 'requestPut', value: put } };
}

export function rangeOf(
  key: string,
  options: { readonly keysOnly?: boolean; readonly revision?: bigint } = {},
): OpInit {
  return { request: { case: 'requestRange', value: { key: Buffer.from(key), ...options } } };
}

/** As many operations as there are, by nesting; all are carried out in the same step. */
export function nest(ops: readonly OpInit[]): OpInit[] {
  const level = LEVELS.find((size, deep) => ops.length <= size ** (deep + 1));
  if (level === undefined)
    throw new IsthmusError('too_large', `etcd takes no step of ${ops.length} rows; write less at once`);
  let nodes = [...ops];
  while (nodes.length > level) {
    const groups: OpInit[] = [];
    for (let at = 0; at < nodes.length; at += level) groups.push(nested({ success: nodes.slice(at, at + level) }));
    nodes = groups;
  }
  return nodes;
}

function nested(value: MessageInitShape<typeof TxnRequestSchema>): OpInit {
  return { request: { case: 'requestTxn', value } };
}

function opOf(op: Op, head: Head): OpInit {
  const key = head.rowsRoot + op.key;
  if (op.type === 'put') return putOf(key, op.value, BigInt(op.lease ?? 0));
  return { request: { case: 'requestDeleteRange', value: { key: Buffer.from(key) } } };
}

function modIs(key: string, result: number, revision: number): CompareInit {
  const targetUnion = { case: 'modRevision', value: BigInt(revision) } as const;
  return { result, target: MOD, key: Buffer.from(key), targetUnion };
}
