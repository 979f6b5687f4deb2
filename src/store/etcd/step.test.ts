import { create } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import type { Op, Txn } from '../engine.ts';
import { type TxnRequest, TxnResponseSchema } from './gen/etcdserverpb/etcd_pb.ts';
import { Head, layoutBelow } from './head.ts';
import { compareOf, nest, rangeOf, room, type Step, stepOutcome, stepRequest } from './step.ts';

const layout = layoutBelow('p/');
const value = { format: 1, epoch: 'e', generation: '1', offset: -5, heldFrom: 1, origins: 0 } as const;
const head = new Head(value, 5, layout, new Map());

function step(ops: number, compares: number): Step {
  const key = (n: number): string => `t${n % 200}/${n}`;
  const txn: Txn = {
    compare: Array.from({ length: compares }, (_, n) => ({ key: key(n), modRevision: n })),
    ops: Array.from({ length: ops }, (_, n): Op => ({ type: 'put', key: key(n), value: '1' })),
  };
  const compare = txn.compare.flatMap((one) => compareOf(one, head));
  return { txn, compare, head, layout, slot: { key: 'p/w/s/1', lease: 7n, mod: 9 }, id: '3' };
}

/** How etcd counts: what a level has is taken from what its nested ones may have. */
function fits(request: TxnRequest, budget = 128): boolean {
  const own = Math.max(request.compare.length, request.success.length, request.failure.length);
  if (own > budget) return false;
  return [...request.success, ...request.failure].every(
    ({ request: { case: type, value: inner } }) => type !== 'requestTxn' || fits(inner, budget - own),
  );
}

function puts(request: TxnRequest): number {
  let count = 0;
  for (const { request: inner } of request.success) {
    if (inner.case === 'requestPut') count += 1;
    else if (inner.case === 'requestTxn') count += puts(inner.value);
  }
  return count;
}

describe('a step as a transaction of etcd', () => {
  it.each([1, 2, 59, 60, 61, 118, 119, 120, 127, 128, 129, 1_000, 3_600, 9_000, 40_000])(
    'of %i rows is within what etcd takes, with as many comparisons as there is room for',
    (ops) => {
      const whole = step(ops, 0);
      const most = room(whole.txn);
      expect(most).toBeGreaterThan(10);
      for (const attempt of [1, 2]) {
        const request = stepRequest(step(ops, most), attempt);
        expect(fits(request)).toBe(true);
        const marks = new Set(whole.txn.ops.map(({ key }) => layout.mark(key)));
        expect(puts(request)).toBe(ops + marks.size + 1);
      }
    },
  );

  it('refuses more rows than nesting can hold', () => {
    const ops = Array.from({ length: 30 ** 4 + 1 }, () => rangeOf('k'));
    expect(() => nest(ops)).toThrow(expect.objectContaining({ code: 'too_large' }));
  });
});

describe('the outcome of a step', () => {
  const found = (kvs: readonly { value: string; mod: number }[]) => ({
    response: {
      case: 'responseRange' as const,
      value: { kvs: kvs.map((kv) => ({ value: Buffer.from(kv.value), modRevision: BigInt(kv.mod) })) },
    },
  });
  const reply = (slot: { value: string; mod: number } | undefined, headMod = 5) =>
    create(TxnResponseSchema, {
      header: { revision: 40n },
      succeeded: false,
      responses: [found(slot === undefined ? [] : [slot]), found([{ value: '', mod: headMod }])],
    });

  it('is read from the slot', () => {
    const one = step(1, 0);
    const applied = create(TxnResponseSchema, { header: { revision: 40n }, succeeded: true });
    expect(stepOutcome(one, applied)).toEqual({ kind: 'applied', revision: 40 });
    expect(one.slot.mod).toBe(40);
    for (const [slot, headMod, outcome, mod] of [
      [{ value: '2', mod: 9 }, 5, { kind: 'refused', revision: 40 }, 9],
      [{ value: '3', mod: 30 }, 5, { kind: 'applied', revision: 30 }, 30], // an earlier try
      [{ value: '3', mod: 30 }, 33, { kind: 'applied', revision: 30 }, 30], // before the content was replaced
      [{ value: '3 refused', mod: 40 }, 5, { kind: 'refused', revision: 40 }, 40],
      [{ value: '2', mod: 9 }, 33, { kind: 'replaced' }, 9],
      [{ value: '8', mod: 20 }, 5, { kind: 'stale' }, 9],
      [undefined, 5, { kind: 'stale' }, 9],
    ] as const) {
      const each = step(1, 0);
      expect(stepOutcome(each, reply(slot, headMod))).toEqual(outcome);
      expect(each.slot.mod).toBe(mod);
    }
  });
});
