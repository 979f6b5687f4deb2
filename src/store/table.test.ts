import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Change } from './engine.ts';
import { joinKey, Table } from './table.ts';

interface Item {
  readonly id: string;
  readonly tags: readonly string[];
}

const makeTable = (): Table<Item> =>
  new Table<Item>({ name: 'items', key: (item) => joinKey(item.id), indexes: { tag: (item) => item.tags } });

const put = (item: Item, revision: number): Change => ({
  type: 'put',
  key: `items/${joinKey(item.id)}`,
  value: JSON.stringify(item),
  createRevision: revision,
  modRevision: revision,
});

describe('joinKey', () => {
  it('never makes the same key of different parts', () => {
    const parts = fc.array(fc.string({ unit: 'grapheme' }), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(parts, parts, (a, b) => {
        expect(joinKey(...a) === joinKey(...b)).toBe(JSON.stringify(a) === JSON.stringify(b));
      }),
    );
    expect(joinKey('a/b', 'c')).not.toBe(joinKey('a', 'b/c'));
  });
});

describe('table', () => {
  it('finds rows by key and by index, in key order', () => {
    const table = makeTable();
    table.apply(put({ id: 'b', tags: ['x', 'y'] }, 1));
    table.apply(put({ id: 'a', tags: ['x'] }, 2));
    expect(table.size).toBe(2);
    expect(table.get('a')).toMatchObject({ key: 'a', modRevision: 2, value: { id: 'a' } });
    expect(table.list().map((row) => row.key)).toEqual(['a', 'b']);
    expect(table.by('tag', 'x').map((row) => row.key)).toEqual(['a', 'b']);
    expect(table.by('tag', 'y').map((row) => row.key)).toEqual(['b']);
    expect([...table.values('tag')].sort()).toEqual(['x', 'y']);
    expect([table.by('tag', 'none'), table.by('none', 'x'), [...table.values('none')]]).toEqual([[], [], []]);
  });

  it('moves a changed row between indexes and forgets a deleted one', () => {
    const table = makeTable();
    table.apply(put({ id: 'a', tags: ['x'] }, 1));
    const list = table.list();
    const moved = table.apply(put({ id: 'a', tags: ['y'] }, 2));
    expect([moved.before?.value.tags, moved.after?.value.tags]).toEqual([['x'], ['y']]);
    expect(list[0]?.modRevision).toBe(1); // who still holds the old list is not disturbed
    expect(table.list()[0]?.modRevision).toBe(2);
    expect([...table.values('tag')]).toEqual(['y']);
    const gone = table.apply({ type: 'delete', key: 'items/a', modRevision: 3 });
    expect([gone.before?.key, gone.after, table.size, table.list()]).toEqual(['a', undefined, 0, []]);
    expect([...table.values('tag')]).toEqual([]);
    expect(table.apply({ type: 'delete', key: 'items/a', modRevision: 4 }).before).toBeUndefined();
  });
});
