import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { OrderedRows } from './ordered-rows.ts';

interface Item {
  readonly key: string;
  readonly modRevision: number;
}

const key = fc.string({ unit: fc.constantFrom('a', 'b', '/', '\u0000', '\u00ff'), maxLength: 4 });
const step = fc.record({ key, remove: fc.boolean() });

describe('ordered rows', () => {
  it('say what a sorted list of the same rows would, and no index that is too old', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), key, (steps, prefix) => {
        const rows = new OrderedRows<Item>();
        const model = new Map<string, Item>();
        let revision = 0;
        for (const { key: at, remove } of steps) {
          revision += 1;
          if (remove) {
            rows.delete(at);
            model.delete(at);
          } else {
            rows.set({ key: at, modRevision: revision });
            model.set(at, { key: at, modRevision: revision });
          }
        }
        const wanted = [...model.values()]
          .filter((row) => row.key.startsWith(prefix))
          .sort((a, b) => (a.key < b.key ? -1 : 1));
        expect([...rows.under(prefix)]).toEqual(wanted);
        expect(rows.size).toBe(model.size);
        const newest = Math.max(0, ...wanted.map((row) => row.modRevision));
        expect(rows.newestUnder(prefix)).toBeGreaterThanOrEqual(newest);
        expect(rows.newestUnder(prefix)).toBeLessThanOrEqual(revision);
      }),
    );
  });

  it('keep many blocks in order, whichever way they are filled', () => {
    for (const order of [(n: number) => n, (n: number) => 4_999 - n, (n: number) => (n * 2_741) % 5_000]) {
      const rows = new OrderedRows<Item>();
      for (let n = 0; n < 5_000; n += 1) {
        const at = order(n);
        rows.set({ key: `k/${String(at).padStart(4, '0')}`, modRevision: at + 1 });
      }
      const keys = [...rows.under('k/')].map((row) => row.key);
      expect(keys).toEqual([...keys].sort());
      expect(keys).toHaveLength(5_000);
      expect(rows.newestUnder('k/12')).toBe(1_300);
      expect(rows.newestUnder('k/')).toBe(5_000);
      expect(rows.newestUnder('l')).toBe(0);
      for (let n = 0; n < 5_000; n += 2) rows.delete(`k/${String(n).padStart(4, '0')}`);
      expect([...rows.under('k/000')].map((row) => row.key)).toEqual([
        'k/0001',
        'k/0003',
        'k/0005',
        'k/0007',
        'k/0009',
      ]);
      expect(rows.size).toBe(2_500);
    }
  });
});
