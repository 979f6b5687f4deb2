import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { notLinearizable, type RegisterOp } from './linearizable.ts';

const op = (kind: RegisterOp['kind'], value: string | null, began: number, ended: number, more = {}): RegisterOp => ({
  client: 'c',
  register: 'r',
  kind,
  value,
  began,
  ended,
  ...more,
});
const write = (value: string | null, began: number, ended: number): RegisterOp => op('write', value, began, ended);
const read = (value: string | null, began: number, ended: number): RegisterOp => op('read', value, began, ended);
const IN_DOUBT = Number.POSITIVE_INFINITY;

describe('the check of histories', () => {
  it.each<[string, RegisterOp[]]>([
    ['nothing', []],
    ['a read of nothing', [read(null, 0, 1)]],
    ['one after another', [write('a', 0, 1), read('a', 2, 3), write(null, 4, 5), read(null, 6, 7)]],
    ['a read during a write sees either', [write('a', 0, 10), read('a', 1, 2), read('a', 3, 4)]],
    ['two writes at once in either order', [write('a', 0, 10), write('b', 0, 10), read('a', 11, 12)]],
    ['a write in doubt that came about late', [write('a', 0, IN_DOUBT), read(null, 1, 2), read('a', 3, 4)]],
    ['a write in doubt that never came about', [write('a', 0, IN_DOUBT), read(null, 1, 2)]],
    ['compare and set', [write('a', 0, 1), op('cas', 'b', 2, 3, { expected: 'a', written: true }), read('b', 4, 5)]],
    [
      'a refused compare and set',
      [write('a', 0, 1), op('cas', 'b', 2, 3, { expected: null, written: false }), read('a', 4, 5)],
    ],
  ])('accepts %s', (_what, history) => {
    expect(notLinearizable(history)).toEqual([]);
  });

  it.each<[string, RegisterOp[]]>([
    ['a stale read', [write('a', 0, 1), read(null, 2, 3)]],
    ['a read of what nobody wrote', [read('x', 0, 1)]],
    ['a value that comes and goes', [write('a', 0, 10), read('a', 1, 2), read(null, 3, 4)]],
    ['a lost write', [write('a', 0, 1), write('b', 2, 3), read('a', 4, 5)]],
    ['a write in doubt before it was asked for', [read('a', 0, 1), write('a', 2, IN_DOUBT)]],
    [
      'readers that see two writes in different orders',
      [write('a', 0, 10), write('b', 0, 10), read('a', 11, 12), read('b', 13, 14)],
    ],
    [
      'a compare and set that won twice',
      [
        write('a', 0, 1),
        op('cas', 'b', 2, 9, { expected: 'a', written: true }),
        op('cas', 'c', 2, 9, { expected: 'a', written: true }),
      ],
    ],
  ])('finds %s', (_what, history) => {
    expect(notLinearizable(history)).toEqual(['r']);
  });

  it('accepts whatever one register did, and finds one read that is made up', () => {
    const steps = fc.array(
      fc.record({
        kind: fc.constantFrom<'read' | 'write'>('read', 'write'),
        before: fc.nat(30),
        after: fc.nat(30),
        inDoubt: fc.boolean(),
      }),
      { minLength: 1, maxLength: 60 },
    );
    fc.assert(
      fc.property(steps, fc.nat(), (plan, chance) => {
        let state: string | null = null;
        const history = plan.map(({ kind, before, after, inDoubt }, index): RegisterOp => {
          const at = index * 10 + 100; // each takes effect at its own moment; questions and answers overlap
          if (kind === 'read') return read(state, at - before, at + after);
          state = `v${index}`;
          return write(state, at - before, inDoubt ? IN_DOUBT : at + after);
        });
        expect(notLinearizable(history)).toEqual([]);
        const reads = history.filter((one) => one.kind === 'read');
        const victim = reads[chance % Math.max(1, reads.length)];
        if (victim === undefined) return;
        const forged = history.map((one) => (one === victim ? { ...one, value: 'never written' } : one));
        expect(notLinearizable(forged)).toEqual(['r']);
      }),
    );
  });
});
