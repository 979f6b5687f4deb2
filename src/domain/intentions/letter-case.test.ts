import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { FakeClock } from '../../../test/fakes/fake-clock.ts';
import type { ConfigEntry } from '../../model/config-entry.ts';
import type { IntentionAction } from '../../model/intention.ts';
import { decide } from '../../model/verdicts.ts';
import { MemoryEngine } from '../../store/memory/memory-engine.ts';
import { Store } from '../../store/store.ts';
import { createEntries } from '../entries/entries.ts';
import { createIntentions } from './intentions.ts';

const stores: Store[] = [];

/** @param rows as an older version left them in the store */
async function start(rows: readonly Partial<ConfigEntry>[] = []) {
  const clock = new FakeClock('2026-11-23T02:16:59Z');
  const engine = new MemoryEngine(clock);
  for (const row of rows)
    await engine.txn({
      compare: [],
      ops: [{ type: 'put', key: `config/${row.Kind}/${row.Name}`, value: JSON.stringify(row) }],
    });
  const store = new Store({ engine, clock, onError: () => undefined });
  const entries = createEntries({ store, datacenter: 'dc1', trustDomain: () => '' });
  const deps = { store, entries: entries.intentionEntries, datacenter: 'dc1', clock } as const;
  const intentions = createIntentions({ ...deps, defaultPolicy: 'allow' });
  await store.start(new AbortController().signal);
  stores.push(store);
  const { reads } = intentions;
  const check = (source: string, destination: string): boolean =>
    reads['intentions.check'].produce({ source, destination }).Allowed;
  const list = () => reads['intentions.list'].produce({});
  const names = () => list().map((one) => `${one.SourceName} => ${one.DestinationName} ${one.Action}`);
  return { store, entries, intentions, reads, check, list, names };
}

afterEach(async () => {
  for (const store of stores.splice(0)) await store.stop();
});

const entry = (Name: string, Source: string, Action: IntentionAction, more: object = {}) =>
  ({
    Kind: 'service-intentions',
    Name,
    Sources: [{ Name: Source, Action, Precedence: 9, Type: 'consul', ...more }],
  }) as Partial<ConfigEntry>;

/** A name with any of its letters in upper case. */
const spelled = (name: string) =>
  fc
    .array(fc.boolean(), { minLength: name.length, maxLength: name.length })
    .map((up) => [...name].map((letter, at) => (up[at] ? letter.toUpperCase() : letter)).join(''));

describe('letter case of names', () => {
  it('any spelling of source and destination gives one verdict', async () => {
    const ways = ['exact', 'id', 'entry', 'stored'] as const;
    const spelling = fc.tuple(spelled('shop-é'), spelled('bank'), spelled('shop-é'), spelled('bank'));
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...ways), spelling, async (way, [source, destination, asked, target]) => {
        const world = await start(way === 'stored' ? [entry(destination, source, 'deny')] : []);
        if (way === 'exact') await world.intentions.upsertExact({ source, destination, intention: { Action: 'deny' } });
        if (way === 'entry') await world.entries.apply({ entry: entry(destination, source, 'deny') });
        if (way === 'id') {
          const intention = { SourceName: source, DestinationName: destination, Action: 'deny' } as const;
          const { ID } = await world.intentions.create({ intention });
          expect(world.reads['intentions.get'].produce({ id: ID })).toMatchObject({ SourceName: 'shop-é' });
          const changed = { ...intention, SourceName: asked, DestinationName: target, Description: 'changed' };
          await world.intentions.update({ id: ID, intention: changed });
        }
        const pair = { source: asked, destination: target };
        expect(world.check(asked, target)).toBe(false);
        expect(decide(world.reads['intentions.verdicts'].produce({ destination: target }), asked).allowed).toBe(false);
        expect(world.reads['intentions.explain'].produce(pair)).toMatchObject({ Allowed: false, Source: 'shop-é' });
        expect(world.reads['intentions.exact'].produce(pair)).toMatchObject({ DestinationName: 'bank' });
        for (const by of ['source', 'destination'] as const) {
          const name = by === 'source' ? asked : target;
          expect(world.reads['intentions.match'].produce({ by, names: [name] })[name]).toHaveLength(1);
        }
        await world.intentions.upsertExact({ ...pair, intention: { Action: 'allow' } });
        expect(world.names()).toEqual(['shop-é => bank allow']);
        await world.intentions.deleteExact({ source, destination });
        expect(world.list()).toEqual([]);
        await world.store.stop();
      }),
      { numRuns: 200 },
    );
  });

  it('refuses a source that is there twice but for letter case', async () => {
    const { entries, intentions } = await start();
    const sources = [entry('bank', 'Shop', 'allow'), entry('bank', 'shop', 'deny')].flatMap((one) => one.Sources);
    await expect(entries.apply({ entry: { ...entry('bank', '', 'deny'), Sources: sources } })).rejects.toThrow(
      'Sources[1] defines "shop" more than once',
    );
    await intentions.create({ intention: { SourceName: 'shop', DestinationName: 'bank', Action: 'deny' } });
    await expect(
      intentions.create({ intention: { SourceName: 'SHOP', DestinationName: 'Bank', Action: 'allow' } }),
    ).rejects.toThrow('defines "shop" more than once');
  });

  it('wakes those who wait for another spelling', async () => {
    const { intentions, reads, store } = await start();
    for (const name of ['a', 'b'])
      await intentions.upsertExact({ source: name, destination: name, intention: { Action: 'deny' } });
    const topics = reads['intentions.verdicts'].topics({ destination: 'BANK' });
    const bySource = reads['intentions.match'].topics({ by: 'source', names: ['SHOP'] });
    const before = [store.topics.index(topics), store.topics.index(bySource)] as const;
    await intentions.upsertExact({ source: 'Shop', destination: 'Bank', intention: { Action: 'deny' } });
    expect(store.topics.index(topics)).toBeGreaterThan(before[0]);
    expect(store.topics.index(bySource)).toBeGreaterThan(before[1]);
  });
});

describe('entries that an older version wrote', () => {
  const ROWS = [
    entry('Bank', 'Shop', 'deny', { LegacyID: 'f3f948f5-bd25-8329-8efb-d149dc61a619' }),
    entry('bank', 'shop', 'allow'),
    entry('bANK', 'till', 'allow'),
    { Kind: 'service-defaults', Name: 'Bank', Protocol: 'http', MeshGateway: {}, Expose: {} },
    { Kind: 'service-defaults', Name: 'bank', Protocol: 'grpc', MeshGateway: {}, Expose: {} },
    { Kind: 'service-defaults', Name: 'spare', Protocol: 'grpc', MeshGateway: {}, Expose: {} },
    { Kind: 'service-resolver', Name: 'Spare', Redirect: { Service: 'BANK', Datacenter: 'DC2' }, Newer: 1 },
  ] as const;

  it('hold in one form: of intentions all, what denies first; of other kinds the newest', async () => {
    const { entries, check, names, reads } = await start(ROWS);
    expect(check('SHOP', 'BANK')).toBe(false);
    expect(names()).toEqual(['shop => bank deny', 'till => bank allow']);
    expect(reads['intentions.get'].produce({ id: 'f3f948f5-bd25-8329-8efb-d149dc61a619' })).toMatchObject({
      SourceName: 'shop',
    });
    const get = (kind: string, name: string) => entries.reads['config.get'].produce({ kind, name });
    expect(get('service-defaults', 'BANK')).toMatchObject({
      Name: 'bank',
      Protocol: 'grpc',
      MeshGateway: {},
      Expose: {},
    });
    expect(get('service-resolver', 'spare')).toMatchObject({
      Redirect: { Service: 'bank', Datacenter: 'dc2' },
      Newer: 1,
    });
    expect(entries.reads['config.list'].produce({ kind: 'service-defaults' })).toHaveLength(2);
    expect(entries.serviceTargets('SPARE', 'DC1').targets).toMatchObject([{ service: 'bank', datacenter: 'dc2' }]);
  });

  it('are brought into that form once, and say the same then', async () => {
    const { entries, check, names, list } = await start(ROWS);
    const before = list().map(({ CreateIndex: _create, ModifyIndex: _modify, ...one }) => one);
    expect(await entries.canonicalise()).toEqual([
      { kind: 'service-defaults', name: 'bank', spellings: ['Bank', 'bank'] },
      { kind: 'service-intentions', name: 'bank', spellings: ['Bank', 'bANK', 'bank'] },
      { kind: 'service-resolver', name: 'spare', spellings: ['Spare'] },
    ]);
    expect(await entries.canonicalise()).toEqual([]);
    expect(entries.table.list().map(({ key }) => key)).toEqual([
      'service-defaults/bank',
      'service-defaults/spare',
      'service-intentions/bank',
      'service-resolver/spare',
    ]);
    expect(list().map(({ CreateIndex: _create, ModifyIndex: _modify, ...one }) => one)).toEqual(before);
    expect(names()).toEqual(['shop => bank deny', 'till => bank allow']);
    expect(check('Shop', 'Bank')).toBe(false);
  });

  it('that are limited to datacenters stay limited when they become one', async () => {
    const { names, check, entries } = await start([
      { ...entry('Bank', 'shop', 'deny'), Datacenters: ['dc2'] },
      entry('bank', 'shop', 'allow'),
    ]);
    const decided = () => [check('shop', 'bank'), decideIn('dc2')];
    const decideIn = (destinationDatacenter: string) =>
      entries.intentionEntries
        .get('bank')
        ?.value.Sources.find((one) => one.DestinationDatacenters?.includes(destinationDatacenter))?.Action;
    expect(decided()).toEqual([true, 'deny']);
    await entries.canonicalise();
    expect(decided()).toEqual([true, 'deny']);
    expect(names()).toEqual(['shop => bank deny', 'shop => bank allow']);
  });

  it('of a primary of that version are copied as they are there, and a delete takes only what it names', async () => {
    const { store, entries, check } = await start();
    const put = (one: object) => store.transact((tx) => entries.applyReplicated(tx, { type: 'put', entry: one }));
    const remove = (name: string) =>
      store.transact((tx) => entries.applyReplicated(tx, { type: 'delete', kind: 'service-intentions', name }));
    await put(entry('bank', 'shop', 'allow'));
    await put(entry('Bank', 'Shop', 'deny'));
    const both = [entry('Twice', 'Shop', 'allow'), entry('Twice', 'shop', 'deny')].flatMap((one) => one.Sources);
    await put({ ...entry('Twice', 'x', 'deny'), Sources: both });
    expect(entries.table.list().map(({ key }) => key)).toEqual([
      'service-intentions/Bank',
      'service-intentions/Twice',
      'service-intentions/bank',
    ]);
    expect([check('shop', 'bank'), check('shop', 'twice')]).toEqual([false, false]);
    await remove('Bank');
    expect(check('shop', 'bank')).toBe(true);
    await put(entry('Bank', 'Shop', 'deny'));
    expect(check('shop', 'BANK')).toBe(false);
    await remove('bank');
    expect(check('shop', 'bank')).toBe(false);
  });
});
