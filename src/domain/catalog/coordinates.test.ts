import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { memoryStore } from '../../../test/fakes/memory-store.ts';
import { coordinateAt, ORIGIN_COORDINATE } from '../../model/coordinate.ts';
import type { Store } from '../../store/store.ts';
import { type Catalog, createCatalog } from './catalog.ts';

describe('coordinates of nodes', () => {
  let store: Store;
  let catalog: Catalog;
  beforeEach(async () => {
    store = memoryStore();
    catalog = createCatalog({ store, datacenter: 'dc1' });
    await store.start(new AbortController().signal);
    await catalog.register({ Node: 's1', Address: '10.0.0.1', Service: { Service: 'consul', Port: 8300 } });
    for (const Node of ['near', 'far', 'unmeasured']) await catalog.register({ Node, Address: '10.0.0.2' });
    await catalog.updateCoordinate({ Node: 'near', Coord: coordinateAt(2, 0) });
    await catalog.updateCoordinate({ Node: 'FAR', Coord: coordinateAt(50, 1) });
  });
  afterEach(() => store.stop());

  const names = (args: { segment?: string } = {}) =>
    catalog.reads['coordinate.nodes'].produce(args).map(({ Node }) => Node);

  it('are those that were told, and the origin for servers', () => {
    expect(names()).toEqual(['far', 'near', 's1']);
    expect(catalog.reads['coordinate.node'].produce({ node: 'S1' })).toEqual([
      { Node: 's1', Segment: '', Coord: ORIGIN_COORDINATE },
    ]);
    expect(catalog.reads['coordinate.node'].produce({ node: 'unmeasured' })).toEqual([]);
  });

  it('tell how far nodes are from each other', () => {
    expect(catalog.distance('s1', 'near')).toBeCloseTo(0.002, 6);
    expect(catalog.distance('Far', 'near')).toBeGreaterThan(0.05);
    expect(catalog.distance('s1', 'unmeasured')).toBe(Number.POSITIVE_INFINITY);
    const sorted = catalog.reads['catalog.nodes'].produce({ near: 's1' }).map(({ Node }) => Node);
    expect(sorted).toEqual(['s1', 'near', 'far', 'unmeasured']);
  });

  it('are measured by agents, and written when they have clearly changed', async () => {
    await catalog.measured('stranger', 5);
    for (const rttMs of [5, 5.4, 4.6]) await catalog.measured('unmeasured', rttMs);
    expect(catalog.distance('s1', 'unmeasured')).toBeCloseTo(0.005, 6);
    const before = store.revision;
    await catalog.measured('unmeasured', 5.9);
    expect(store.revision).toBe(before);
    await catalog.measured('unmeasured', 9);
    expect(catalog.distance('s1', 'unmeasured')).toBeCloseTo(0.009, 6);
    expect(names()).toEqual(['far', 'near', 's1', 'unmeasured']);
  });

  it('belong to a segment', async () => {
    await catalog.updateCoordinate({ Node: 'near', Segment: 'alpha', Coord: coordinateAt(1, 0) });
    expect([names({ segment: 'alpha' }), names({ segment: '' })]).toEqual([['near'], ['far', 'near', 's1']]);
    expect(catalog.distance('s1', 'near')).toBeCloseTo(0.002, 6);
    await catalog.updateCoordinate({ Node: 'unmeasured', Segment: 'alpha', Coord: coordinateAt(1, 0) });
    expect(catalog.distance('s1', 'unmeasured')).toBe(Number.POSITIVE_INFINITY);
  });

  it('of unknown nodes are dropped, and go with their node', async () => {
    await catalog.updateCoordinate({ Node: 'stranger', Coord: coordinateAt(1, 0) });
    await catalog.deregister({ Node: 'far' });
    expect(names()).toEqual(['near', 's1']);
  });

  it.each([
    ['invalid coordinate', undefined],
    ['invalid coordinate', { ...ORIGIN_COORDINATE, Height: Number.NaN }],
    ['incompatible coordinate', { ...ORIGIN_COORDINATE, Vec: [1] }],
  ])('%s', async (text, Coord) => {
    await expect(catalog.updateCoordinate({ Node: 'near', ...(Coord && { Coord }) })).rejects.toThrow(text);
  });
});
