import { afterEach, describe, expect, it } from 'vitest';
import { FakeClock } from '../../../test/fakes/fake-clock.ts';
import type { Intention, IntentionAction } from '../../model/intention.ts';
import { MemoryEngine } from '../../store/memory/memory-engine.ts';
import { Store } from '../../store/store.ts';
import { createEntries } from '../entries/entries.ts';
import { createIntentions } from './intentions.ts';

const stores: Store[] = [];

async function start(defaultPolicy: IntentionAction = 'allow') {
  const clock = new FakeClock('2026-11-23T02:16:59Z');
  const store = new Store({ engine: new MemoryEngine(clock), clock, onError: () => undefined });
  const entries = createEntries({ store, datacenter: 'dc1', trustDomain: () => '' });
  const intentions = createIntentions({
    store,
    entries: entries.intentionEntries,
    datacenter: 'dc1',
    defaultPolicy,
    clock,
  });
  await store.start(new AbortController().signal);
  stores.push(store);
  const { reads } = intentions;
  const list = (filter?: string) => reads['intentions.list'].produce(filter === undefined ? {} : { filter });
  const lines = (items: readonly Intention[]) => items.map(describeIntention);
  const exact = (source: string, destination: string, action: IntentionAction, dcs: object = {}) =>
    intentions.upsertExact({ source, destination, ...dcs, intention: { Action: action } });
  const check = (source: string, destination: string, dcs: object = {}) =>
    reads['intentions.check'].produce({ source, destination, ...dcs }).Allowed;
  const explain = (source: string, destination: string, dcs: object = {}) =>
    reads['intentions.explain'].produce({ source, destination, ...dcs });
  return { clock, store, entries, intentions, reads, list, lines, exact, check, explain };
}

function describeIntention(intention: Intention): string {
  const at = (name: string, dc: string | undefined) => (dc === undefined ? name : `${name}@${dc}`);
  const source = at(intention.SourceName, intention.SourceDatacenter);
  return (
    `${intention.Precedence} ${source} => ${at(intention.DestinationName, intention.DestinationDatacenter)} ` +
    `${intention.Action ?? 'L7'}`
  );
}

afterEach(async () => {
  for (const store of stores.splice(0)) await store.stop();
});

const WEB_DB = { SourceName: 'web', DestinationName: 'db', SourceType: 'consul', Action: 'allow' } as const;

describe('intentions by ID', () => {
  it('creates, reads and lists an intention', async () => {
    const { intentions, reads, list, entries } = await start();
    const { ID } = await intentions.create({ intention: { ...WEB_DB, Description: 'd', Meta: { k: 'v' } } });
    const intention = reads['intentions.get'].produce({ id: ID });
    expect(intention).toEqual({
      CreatedAt: '2026-11-23T02:16:59.000Z',
      UpdatedAt: '2026-11-23T02:16:59.000Z',
      ID,
      Description: 'd',
      SourceNS: 'default',
      SourceName: 'web',
      DestinationNS: 'default',
      DestinationName: 'db',
      SourceType: 'consul',
      Action: 'allow',
      Meta: { k: 'v' },
      Precedence: 9,
      Hash: expect.stringMatching(/^[A-Za-z0-9+/]{43}=$/),
      CreateIndex: 1,
      ModifyIndex: 1,
    });
    expect(list()).toEqual([intention]);
    expect(reads['intentions.exact'].produce({ source: 'web', destination: 'db' })).toEqual(intention);
    expect(entries.reads['config.get'].produce({ kind: 'service-intentions', name: 'db' })).toEqual({
      Kind: 'service-intentions',
      Name: 'db',
      Sources: [
        {
          Name: 'web',
          Action: 'allow',
          Precedence: 9,
          LegacyID: ID,
          Type: 'consul',
          Description: 'd',
          LegacyMeta: { k: 'v' },
          LegacyCreateTime: '2026-11-23T02:16:59.000Z',
          LegacyUpdateTime: '2026-11-23T02:16:59.000Z',
        },
      ],
      CreateIndex: 1,
      ModifyIndex: 1,
    });
  });

  it('refuses a second intention of the same pair', async () => {
    const { intentions } = await start();
    await intentions.create({ intention: WEB_DB });
    await expect(intentions.create({ intention: { ...WEB_DB, Action: 'deny' } })).rejects.toMatchObject({
      code: 'rejected',
      message: 'Sources[1] defines "web" more than once',
    });
  });

  it.each([
    [
      {},
      '3 errors occurred:\n\t* SourceName must be set\n\t* DestinationName must be set\n\t* Action must be set to ' +
        "'allow' or 'deny'\n\n",
    ],
    [{ ...WEB_DB, Action: 'maybe' }, "1 error occurred:\n\t* Action must be set to 'allow' or 'deny'\n\n"],
    [
      { ...WEB_DB, SourceName: 'we*' },
      "1 error occurred:\n\t* SourceName: wildcard character '*' cannot be used with partial values\n\n",
    ],
    [{ ...WEB_DB, SourceType: 'vm' }, "1 error occurred:\n\t* SourceType must be set to 'consul'\n\n"],
    [{ ...WEB_DB, DestinationName: '' }, '1 error occurred:\n\t* DestinationName must be set\n\n'],
    [{ ...WEB_DB, Description: 'x'.repeat(600) }, '1 error occurred:\n\t* Description exceeds maximum length 512\n\n'],
  ])('refuses %j', async (intention, text) => {
    const { intentions } = await start();
    await expect(intentions.create({ intention: intention as Partial<Intention> })).rejects.toMatchObject({
      code: 'rejected',
      message: text,
    });
  });

  it('changes what an ID stands for, but not where it leads', async () => {
    const { intentions, reads, clock } = await start();
    const { ID } = await intentions.create({ intention: { ...WEB_DB, Meta: { k: 'v' } } });
    await clock.advance(1_000);
    const before = reads['intentions.get'].produce({ id: ID });
    expect(await intentions.update({ id: ID, intention: { ...WEB_DB, Action: 'deny' } })).toEqual({ ID });
    const after = reads['intentions.get'].produce({ id: ID });
    expect(after).toMatchObject({ Action: 'deny', CreatedAt: before.CreatedAt, CreateIndex: 1, ModifyIndex: 2 });
    expect(after.UpdatedAt).toBe('2026-11-23T02:17:00.000Z');
    expect(after.Meta).toBeUndefined();
    expect(after.Hash).not.toBe(before.Hash);
    await expect(intentions.update({ id: ID, intention: { ...WEB_DB, DestinationName: 'x' } })).rejects.toThrow(
      'Cannot modify DestinationNS or DestinationName for an intention once it exists.',
    );
  });

  it('deletes, and knows what it does not know', async () => {
    const { intentions, reads, list } = await start();
    const { ID } = await intentions.create({ intention: WEB_DB });
    expect(await intentions.delete({ id: ID })).toBe(true);
    expect(list()).toEqual([]);
    expect(() => reads['intentions.get'].produce({ id: ID })).toThrow('Intention not found');
    await expect(intentions.delete({ id: ID })).rejects.toThrow(`Cannot delete non-existent intention: '${ID}'`);
    await expect(intentions.update({ id: ID, intention: WEB_DB })).rejects.toThrow('Cannot modify non-existent');
    await expect(intentions.delete({ id: 'zzz' })).rejects.toMatchObject({
      code: 'rejected',
      message: 'Intention lookup failed: failed config entry lookup: index error: UUID must be 36 characters',
    });
    expect(() => reads['intentions.get'].produce({ id: 'zzz' })).toThrow(
      'Bad request: failed config entry lookup: index error: UUID must be 36 characters',
    );
  });
});

describe('intentions by pair', () => {
  it('writes into the entry and refuses to lose the meta of a source written with an ID', async () => {
    const { intentions, exact, list, lines } = await start();
    await intentions.create({ intention: { ...WEB_DB, Meta: { k: 'v' } } });
    await expect(exact('*', 'db', 'deny')).rejects.toThrow('Sources[0].LegacyMeta must be omitted');
    await exact('web', '*', 'allow');
    await exact('*', '*', 'deny');
    expect(lines(list())).toEqual(['9 web => db allow', '6 web => * allow', '5 * => * deny']);
    expect(list()[1]).toEqual({
      SourceNS: 'default',
      SourceName: 'web',
      DestinationNS: 'default',
      DestinationName: '*',
      SourceType: 'consul',
      Action: 'allow',
      Precedence: 6,
      CreateIndex: 2,
      ModifyIndex: 3,
    });
  });

  it('replaces, deletes quietly, keeps the IDs of the others', async () => {
    const { intentions, exact, list, lines, reads } = await start();
    const { ID } = await intentions.create({ intention: WEB_DB });
    await intentions.create({ intention: { ...WEB_DB, SourceName: 'api' } });
    expect(await intentions.deleteExact({ source: 'api', destination: 'db' })).toBe(true);
    expect(await intentions.deleteExact({ source: 'api', destination: 'db' })).toBe(true);
    expect(reads['intentions.get'].produce({ id: ID }).SourceName).toBe('web');
    await exact('web', 'db', 'deny');
    expect(lines(list())).toEqual(['9 web => db deny']);
    expect(() => reads['intentions.exact'].produce({ source: 'no', destination: 'pe' })).toThrow('Intention not found');
  });

  it('matches by source and by destination, most specific first', async () => {
    const { exact, reads, lines } = await start();
    for (const [source, destination] of [
      ['*', '*'],
      ['web', '*'],
      ['*', 'db'],
      ['web', 'db'],
      ['api', 'cache'],
    ] as const)
      await exact(source, destination, 'allow');
    const byDestination = reads['intentions.match'].produce({ by: 'destination', names: ['db'] });
    expect(lines(byDestination.db ?? [])).toEqual([
      '9 web => db allow',
      '8 * => db allow',
      '6 web => * allow',
      '5 * => * allow',
    ]);
    const bySource = reads['intentions.match'].produce({ by: 'source', names: ['web', 'api'] });
    expect(lines(bySource.web ?? [])).toEqual([
      '9 web => db allow',
      '8 * => db allow',
      '6 web => * allow',
      '5 * => * allow',
    ]);
    expect(lines(bySource.api ?? [])).toEqual(['9 api => cache allow', '8 * => db allow', '5 * => * allow']);
  });

  it('filters the list', async () => {
    const { exact, list, lines } = await start();
    await exact('web', 'db', 'allow');
    await exact('api', 'db', 'deny');
    expect(lines(list('SourceName==web'))).toEqual(['9 web => db allow']);
    expect(() => list('Nope==web')).toThrow();
  });
});

describe('datacenters', () => {
  it('let one pair have an intention for each pair of datacenters', async () => {
    const { exact, list, lines, reads, check } = await start();
    await exact('web', 'db', 'deny');
    await exact('web', 'db', 'allow', { sourceDatacenter: 'dc2' });
    await exact('web', 'db', 'deny', { destinationDatacenter: 'dc2' });
    await exact('web', 'db', 'allow', { sourceDatacenter: 'dc2', destinationDatacenter: 'dc2' });
    expect(lines(list())).toEqual([
      '9 web@dc2 => db@dc2 allow',
      '9 web => db@dc2 deny',
      '9 web@dc2 => db allow',
      '9 web => db deny',
    ]);
    expect(
      reads['intentions.exact'].produce({ source: 'web', destination: 'db', sourceDatacenter: 'dc2' }),
    ).toMatchObject({ Action: 'allow', SourceDatacenter: 'dc2' });
    expect(check('web', 'db')).toBe(false);
    expect(check('web', 'db', { sourceDatacenter: 'dc2' })).toBe(true);
    expect(check('web', 'db', { sourceDatacenter: 'dc1', destinationDatacenter: 'dc2' })).toBe(false);
    expect(check('web', 'db', { sourceDatacenter: 'dc2', destinationDatacenter: 'dc2' })).toBe(true);
  });

  it('in an entry stand for one intention each, and one of them can be changed alone', async () => {
    const { entries, exact, list, lines, intentions } = await start();
    await entries.apply({
      entry: {
        Kind: 'service-intentions',
        Name: 'db',
        Sources: [{ Name: 'web', Action: 'allow', Datacenters: ['dc3', 'dc1', 'dc2'] }],
      },
    });
    expect(lines(list())).toEqual(['9 web@dc1 => db allow', '9 web@dc2 => db allow', '9 web@dc3 => db allow']);
    await exact('web', 'db', 'deny', { sourceDatacenter: 'dc2' });
    expect(lines(list())).toEqual(['9 web@dc1 => db allow', '9 web@dc2 => db deny', '9 web@dc3 => db allow']);
    await intentions.deleteExact({ source: 'web', destination: 'db', sourceDatacenter: 'dc1' });
    expect(lines(list())).toEqual(['9 web@dc2 => db deny', '9 web@dc3 => db allow']);
  });

  it('of an entry limit all of it', async () => {
    const { entries, check, exact } = await start();
    const entry = {
      Kind: 'service-intentions',
      Name: 'db',
      Datacenters: ['dc2'],
      Sources: [{ Name: '*', Action: 'deny' }],
    };
    await entries.apply({ entry });
    expect(check('web', 'db')).toBe(true);
    expect(check('web', 'db', { destinationDatacenter: 'dc2' })).toBe(false);
    await expect(exact('web', 'db', 'allow')).rejects.toThrow('limited to dc2');
    await expect(exact('web', 'db', 'allow', { destinationDatacenter: 'dc1' })).rejects.toThrow('which is not in');
    await exact('web', 'db', 'allow', { destinationDatacenter: 'dc2' });
    expect(check('web', 'db', { destinationDatacenter: 'dc2' })).toBe(true);
  });

  it('of two sources of one name must not overlap', async () => {
    const { entries } = await start();
    const sources = (a: object, b: object) => ({
      Kind: 'service-intentions',
      Name: 'db',
      Sources: [
        { Name: 'web', Action: 'allow', ...a },
        { Name: 'web', Action: 'deny', ...b },
      ],
    });
    await expect(
      entries.apply({ entry: sources({ Datacenters: ['dc1', 'dc2'] }, { Datacenters: ['dc2'] }) }),
    ).rejects.toThrow('Sources[1] defines "web" more than once');
    expect(await entries.apply({ entry: sources({ Datacenters: ['dc1'] }, {}) })).toBe(true);
  });
});

describe('verdicts', () => {
  it('fall back to the default policy', async () => {
    expect((await start('allow')).check('a', 'b')).toBe(true);
    expect((await start('deny')).check('a', 'b')).toBe(false);
  });

  it('are compiled once until something that they came from changes', async () => {
    const { reads, exact } = await start();
    const get = () => reads['intentions.verdicts'].produce({ destination: 'db' });
    await exact('web', 'db', 'allow');
    const first = get();
    await exact('web', 'other', 'deny');
    expect(get()).toBe(first);
    await exact('web', 'db', 'deny');
    const second = get();
    expect(second).not.toBe(first);
    expect(second.revision).toBe(3);
    await exact('*', '*', 'deny');
    expect(get().rules.map((rule) => `${rule.source}>${rule.destination}`)).toEqual(['web>db', '*>*']);
  });

  it('wake only those who follow the destination or the wildcard', async () => {
    const { store, reads, exact } = await start();
    const index = () => store.topics.index(reads['intentions.verdicts'].topics({ destination: 'db' }));
    const before = index();
    await exact('web', 'other', 'deny');
    expect(index()).toBe(before);
    await exact('web', '*', 'deny');
    expect(index()).toBe(2);
    await exact('web', 'db', 'deny');
    expect(index()).toBe(3);
  });

  it('treat a source with L7 permissions as denied', async () => {
    const { entries, check, explain } = await start();
    await entries.apply({ entry: { Kind: 'service-defaults', Name: 'db', Protocol: 'http' } });
    await entries.apply({
      entry: {
        Kind: 'service-intentions',
        Name: 'db',
        Sources: [{ Name: 'web', Permissions: [{ Action: 'allow', HTTP: { PathPrefix: '/' } }] }],
      },
    });
    expect(check('web', 'db')).toBe(false);
    expect(explain('web', 'db')).toMatchObject({
      Rule: { permissions: 1 },
      ByRequest: true,
      Reason: expect.stringContaining('decides each of the requests by 1 permission'),
    });
  });
});

describe('explanations', () => {
  it('name the rule, what it goes before, and what would allow', async () => {
    const { exact, explain } = await start();
    await exact('*', '*', 'allow');
    await exact('*', 'db', 'allow');
    await exact('web', 'db', 'deny', { sourceDatacenter: 'dc2' });
    expect(explain('web', 'db', { sourceDatacenter: 'dc2' })).toEqual({
      Source: 'web',
      SourceDatacenter: 'dc2',
      Destination: 'db',
      DestinationDatacenter: 'dc1',
      Allowed: false,
      Reason: 'The intention web@dc2 => db denies it (precedence 9, revision 3).',
      Rule: {
        source: 'web',
        sourceDatacenter: 'dc2',
        destination: 'db',
        action: 'deny',
        precedence: 9,
        revision: 3,
      },
      DefaultAction: 'allow',
      Revision: 3,
      Datacenter: 'dc1',
      Shadowed: [
        expect.objectContaining({ source: '*', destination: 'db', precedence: 8 }),
        expect.objectContaining({ source: '*', destination: '*', precedence: 5 }),
      ],
      ToAllow: 'isthmus intention create -allow -replace -source-datacenter=dc2 web db',
    });
    expect(explain('web', 'db')).toMatchObject({ Allowed: true, Rule: { precedence: 8 } });
    expect(explain('web', 'db').ToAllow).toBeUndefined();
  });

  it('of a request says which permission decides', async () => {
    const { entries, explain } = await start();
    await entries.apply({ entry: { Kind: 'service-defaults', Name: 'db', Protocol: 'http' } });
    const Permissions = [
      { Action: 'deny', HTTP: { PathPrefix: '/admin' } },
      { Action: 'allow', HTTP: { Methods: ['PUT'], Header: [{ Name: 'x', Exact: '1' }] } },
    ];
    await entries.apply({ entry: { Kind: 'service-intentions', Name: 'db', Sources: [{ Name: 'web', Permissions }] } });
    const request = (path: string, method = 'GET', headers: readonly string[] = []) =>
      explain('web', 'db', { request: { path, method, headers } });
    expect(request('/admin/x')).toMatchObject({ Allowed: false, Permission: 0, ByRequest: true });
    expect(request('/x', 'PUT', ['X: 1'])).toMatchObject({
      Allowed: true,
      Permission: 1,
      Reason: expect.stringContaining('allows it by its permission 2'),
    });
    expect(request('/x')).toMatchObject({
      Allowed: true,
      Reason: expect.stringContaining(
        'No permission of the intention web => db matches it; the default policy is allow',
      ),
    });
    expect(request('/x')).not.toHaveProperty('Permission');
  });

  it('of a default deny says so', async () => {
    const { explain } = await start('deny');
    expect(explain('a', 'b')).toMatchObject({
      Allowed: false,
      Reason: 'No intention matches; the default policy is deny.',
      ToAllow: 'isthmus intention create -allow a b',
      Shadowed: [],
    });
    expect(explain('*', 'b').ToAllow).toBe("isthmus intention create -allow '*' b");
  });
});
