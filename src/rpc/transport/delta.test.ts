import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { applyDelta, diff, same } from './delta.ts';

const text = (value: unknown): string => JSON.stringify(value);

/** Through the wire: what arrives is what JSON keeps. */
function carried(base: unknown, next: unknown): unknown {
  const delta = diff(base, next);
  return delta === undefined ? JSON.parse(text(next)) : applyDelta(JSON.parse(text(base)), JSON.parse(text(delta)));
}

const row = fc.record({
  ID: fc.constantFrom('a', 'b', 'c', 'd', 'e'),
  Tags: fc.array(fc.constantFrom('x', 'y', 'z'), { maxLength: 3 }),
  Port: fc.option(fc.nat(3), { nil: undefined }),
  Meta: fc.dictionary(fc.constantFrom('k', 'l', '1', '__proto__', 'constructor'), fc.jsonValue({ maxDepth: 2 }), {
    maxKeys: 3,
  }),
});

/** A list after some random changes to it. */
const changed = fc
  .tuple(
    fc.array(row, { maxLength: 30 }),
    fc.array(fc.tuple(fc.constantFrom('insert', 'remove', 'replace', 'swap'), fc.nat(), row), { maxLength: 6 }),
  )
  .map(([base, changes]) => {
    const next: unknown[] = [...base];
    for (const [kind, where, value] of changes) {
      const at = next.length === 0 ? 0 : where % next.length;
      if (kind === 'insert') next.splice(at, 0, value);
      if (kind === 'remove') next.splice(at, 1);
      if (kind === 'replace' && next.length > 0)
        next[at] = { ...(next[at] as object), Port: value.Port, Meta: value.Meta };
      if (kind === 'swap' && next.length > 1) next.push(next.splice(at, 1)[0]);
    }
    return [base, next] as const;
  });

describe('a delta', () => {
  it('applied to its base is the new value, to the letter: lists of rows', () => {
    fc.assert(
      fc.property(changed, ([base, next]) => {
        expect(text(carried(base, next))).toBe(text(next));
      }),
      {
        numRuns: 2_000,
      },
    );
  });

  it('applied to its base is the new value, to the letter: any two values', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (base, next) => {
        expect(text(carried(base, next))).toBe(text(next));
      }),
      { numRuns: 2_000 },
    );
  });

  it('keeps the order of a record’s fields', () => {
    const base = { b: 1, d: 2, f: 3 };
    for (const next of [{ a: 0, b: 1, c: 5, d: 2, e: 6, f: 3, g: 7 }, { f: 3, b: 1 }, { d: 2, e: { x: 1 } }, {}])
      expect(text(carried(base, next))).toBe(text(next));
  });

  it('tells what is the same only when the text is', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (a, b) => {
        expect(same(a, b)).toBe(text(a) === text(b));
      }),
      { numRuns: 1_000 },
    );
    expect(same({ a: 1, b: undefined }, { a: 1 })).toBe(true);
    expect(same({ a: 1, b: 2 }, { b: 2, a: 1 })).toBe(false);
  });

  it.each([100, 1_000, 10_000])('of one changed row has the same size beside %i others', (count) => {
    const instances = Array.from({ length: count }, (_, n) => ({
      Node: { ID: `node-${n}`, Meta: { zone: 'a' } },
      Service: { ID: `web-${n}`, Service: 'web', Port: 8_000 },
      Checks: [{ CheckID: 'alive', Status: 'passing' }],
    }));
    const next = instances.map((instance, n) =>
      n === Math.floor(count / 2) ? { ...instance, Checks: [{ CheckID: 'alive', Status: 'critical' }] } : instance,
    );
    expect(text(diff(instances, next)).length).toBeLessThan(90);
    const moved = [
      ...next.slice(1),
      { ...(next[0] as (typeof next)[number]), Service: { ID: 'new', Service: 'web', Port: 1 } },
    ];
    expect(text(diff(next, moved)).length).toBeLessThan(250);
  });

  it('is given up where too much differs', () => {
    const list = Array.from({ length: 2_000 }, (_, n) => n);
    expect(
      diff(
        list,
        list.map((n) => -n - 1),
      ),
    ).toBeUndefined();
    expect(diff([1], { a: 1 })).toBeUndefined();
    expect(diff(1, 2)).toBeUndefined();
  });

  it('is refused by what is not its base', () => {
    expect(() => applyDelta([1, 2], { a: [3] })).toThrow(TypeError);
    expect(() => applyDelta([1, 2], { a: [1] })).toThrow(TypeError);
    expect(() => applyDelta({}, { a: [1] })).toThrow(TypeError);
    expect(() => applyDelta([], { o: {} })).toThrow(TypeError);
    expect(() => applyDelta({ a: 1 }, { o: {}, n: [['b', 'c', 1]] })).toThrow(TypeError);
  });
});
