import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Nearest } from './nearest.ts';

describe('the order of datacenters', () => {
  const at = (rtts: Readonly<Record<string, number>>) => (datacenter: string) => rtts[datacenter];

  it('is that of the round-trip times, unmeasured ones last', () => {
    const nearest = new Nearest();
    expect(nearest.update(['dc2', 'dc3', 'dc4'], at({ dc4: 5, dc3: 40 }))).toBe(true);
    expect(nearest.order).toEqual(['dc4', 'dc3', 'dc2']);
    expect(nearest.update(['dc2', 'dc3', 'dc4'], at({ dc2: 10, dc4: 5, dc3: 40 }))).toBe(true);
    expect(nearest.order).toEqual(['dc4', 'dc2', 'dc3']);
    nearest.update(['dc2', 'dc3'], at({ dc2: 10, dc3: 40 }));
    expect(nearest.order).toEqual(['dc2', 'dc3']);
  });

  it('does not follow what trembles', () => {
    const nearest = new Nearest();
    nearest.update(['dc2', 'dc3'], at({ dc2: 10, dc3: 11 }));
    for (const [dc2, dc3] of [
      [11, 10],
      [0.4, 0.1],
      [100, 85],
    ] as const)
      expect(nearest.update(['dc2', 'dc3'], at({ dc2, dc3 }))).toBe(false);
    expect(nearest.update(['dc2', 'dc3'], at({ dc2: 100, dc3: 75 }))).toBe(true);
    expect(nearest.order).toEqual(['dc3', 'dc2']);
  });

  it('holds all of them, and those that are clearly apart in the right order', () => {
    const times = fc.record({ a: fc.nat(500), b: fc.nat(500), c: fc.nat(500), d: fc.nat(500) });
    fc.assert(
      fc.property(fc.array(times, { minLength: 1 }), (history) => {
        const nearest = new Nearest();
        for (const rtts of history) nearest.update(['a', 'b', 'c', 'd'], at(rtts));
        const last = history.at(-1) as Record<string, number>;
        expect([...nearest.order].sort()).toEqual(['a', 'b', 'c', 'd']);
        const neighbours = nearest.order.slice(1).map((second, index) => [nearest.order[index] as string, second]);
        for (const [first = '', second = ''] of neighbours) {
          const [far = 0, near = 0] = [last[first], last[second]];
          expect(far - near > Math.max(1, 0.2 * far)).toBe(false);
        }
      }),
    );
  });
});
