import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { FakeClock } from '../../../test/fakes/fake-clock.ts';
import { FakeQueryMesh } from '../../../test/fakes/fake-query-mesh.ts';
import { memoryStore } from '../../../test/fakes/memory-store.ts';
import { createQueries } from '../../domain/queries/queries.ts';
import { IsthmusError } from '../../lib/errors.ts';
import type { QueryExecution, QueryRequest } from '../../model/prepared-query.ts';
import { noLog } from '../../telemetry/types.ts';
import { createResolver } from './resolver.ts';

const store = memoryStore();
const mesh = new FakeQueryMesh();
const clock = new FakeClock();
const FAR: Readonly<Record<string, number>> = { c: 1, a: 2 };
const queries = createQueries({ store, instances: { topics: () => [], produce: () => [] } });
const resolver = createResolver({
  queries,
  mesh,
  subscribe: (topics, listener) => store.topics.subscribe(topics, listener),
  serviceTargets: () => ({ connectTimeoutMs: 0, targets: [], topics: [] }),
  distance: (from, to) => (from === to ? 0 : (FAR[to] ?? Number.POSITIVE_INFINITY)),
  nodeAt: (address) => (address === '10.0.0.3' ? 'c' : undefined),
  clock,
  random: () => 0.5,
  log: noLog,
});
const { signal } = new AbortController();

beforeAll(() => store.start(signal));
afterAll(() => store.stop());
beforeEach(async () => {
  await resolver.service.stop(); // lets go what the test before has asked for
  mesh.clear();
  for (const { ID } of queries.reads['queries.list'].produce({})) await queries.delete({ id: ID });
});

const create = (query: QueryRequest): Promise<{ readonly ID: string }> => queries.create({ query });
const failover = (Failover: NonNullable<QueryRequest['Service']>['Failover']): Promise<{ readonly ID: string }> =>
  create({ Name: 'q', Service: { Service: 'db', ...(Failover === undefined ? {} : { Failover }) } });
const outcome = ({ Datacenter, Service, Failovers, Nodes }: QueryExecution) =>
  `${Service}@${Datacenter} ${Nodes.map(({ Node }) => Node.Node).join()} after ${Failovers}`;
const run = async (query = 'q'): Promise<string> => outcome(await resolver.execute({ query }, { signal }));

describe('execution', () => {
  it('looks here first, then in the nearest, then in those listed, each once and only if known', async () => {
    await failover({ NearestN: 1, Datacenters: ['nowhere', 'dc1', 'dc3', 'dc2'] });
    mesh.set('dc3', 'db', 'far');
    expect(await run()).toBe('db@dc3 far after 2');
    expect(mesh.asked).toEqual(['dc1', 'dc2', 'dc3']);
    mesh.known = ['dc1', 'dc3', 'dc2'];
    expect(await run()).toBe('db@dc3 far after 1');
    mesh.set('dc1', 'db', 'here');
    expect(await run()).toBe('db@dc1 here after 0');
  });

  it('counts a datacenter that is away, or does not answer in time, as one without instances', async () => {
    await failover({ Datacenters: ['dc2', 'dc3'] });
    mesh.set('dc2', 'db', 'near');
    mesh.set('dc3', 'db', 'far');
    mesh.lose('dc2');
    expect(await run()).toBe('db@dc3 far after 2');
    mesh.lose('dc2', false);
    mesh.silent.add('dc2');
    const pending = run();
    await clock.advance(3_000);
    expect(await pending).toBe('db@dc3 far after 2');
  });

  it('follows a datacenter that is asked again and again, until nobody asks', async () => {
    await failover({ Datacenters: ['dc2'] });
    mesh.set('dc2', 'db', 'one');
    const asksOfDc2 = (): number => mesh.asked.filter((datacenter) => datacenter === 'dc2').length;
    for (let times = 0; times < 3; times += 1) {
      expect(await run()).toBe('db@dc2 one after 1');
      await new Promise(setImmediate); // what is followed from now on has answered
    }
    expect(asksOfDc2()).toBe(2);
    mesh.set('dc2', 'db', 'two');
    await new Promise(setImmediate);
    expect([await run(), asksOfDc2()]).toEqual(['db@dc2 two after 1', 2]);
    mesh.lose('dc2');
    expect(await run()).toBe('db@dc1  after 1');
    mesh.lose('dc2', false);
    await clock.advance(121_000);
    expect([await run(), asksOfDc2()]).toEqual(['db@dc2 two after 1', 3]);
  });

  it('takes targets in order: another tag or service, here or elsewhere', async () => {
    await failover({
      Targets: [{ Service: 'db-replica' }, { Datacenter: 'dc2' }, { Service: 'x', Datacenter: 'dc3' }],
    });
    mesh.set('dc2', 'db', 'near');
    expect(await run()).toBe('db@dc2 near after 2');
    mesh.set('dc1', 'db-replica', 'here');
    expect(await run()).toBe('db-replica@dc1 here after 1');
  });

  it('says so when nothing is healthy anywhere', async () => {
    await failover({ Datacenters: ['dc2'] });
    expect(await run()).toBe('db@dc2  after 1');
    await expect(run('absent')).rejects.toMatchObject({ code: 'not_found', message: 'Query not found' });
  });

  it('puts the near node first and keeps to the limit', async () => {
    await create({ Name: 'q', Service: { Service: 'db', Near: '_agent' } });
    mesh.set('dc1', 'db', 'a', 'b', 'c');
    const agent = { node: 'c', segment: '' };
    const found = async (args: object): Promise<readonly string[]> =>
      (await resolver.execute({ query: 'q', agent, ...args }, { signal })).Nodes.map(({ Node }) => Node.Node);
    expect((await found({ limit: 2 }))[0]).toBe('c');
    expect(await found({ limit: 2 })).toHaveLength(2);
    expect(await found({ near: 'b' })).toEqual(['b', 'c', 'a']);
    expect(await found({ near: '_ip', source: '10.0.0.3' })).toEqual(['c', 'a', 'b']);
    for (const source of ['192.0.2.1', undefined])
      expect(await found({ near: '_ip', source })).toEqual(['a', 'c', 'b']); // in an order of chance
  });
});

describe('the forecast', () => {
  it('tells who would serve without each datacenter', async () => {
    await failover({ Datacenters: ['dc2', 'dc3'] });
    mesh.set('dc1', 'db', 'a', 'b');
    mesh.set('dc3', 'db', 'c');
    const from = (Datacenter: string, Instances: number, Failovers: number) => ({
      Service: 'db',
      Datacenter,
      Instances,
      Failovers,
    });
    expect(await resolver.forecast({ query: 'q' }, { signal })).toEqual({
      Name: 'q',
      Service: 'db',
      Now: from('dc1', 2, 0),
      Lost: [
        { Datacenter: 'dc1', Outcome: from('dc3', 1, 2) },
        { Datacenter: 'dc2', Outcome: from('dc1', 2, 0) },
        { Datacenter: 'dc3', Outcome: from('dc1', 2, 0) },
      ],
    });
    mesh.set('dc3', 'db');
    expect((await resolver.forecast({ query: 'q' }, { signal })).Lost[0]).toEqual({ Datacenter: 'dc1', Outcome: null });
  });
});

describe('following', () => {
  it('reports every change of what the query leads to, and nothing else', async () => {
    const end = new AbortController();
    const { ID } = await failover({ Datacenters: ['dc2', 'dc3'] });
    mesh.set('dc1', 'db', 'here');
    mesh.set('dc2', 'db', 'near');
    mesh.set('dc3', 'db', 'far');
    const updates = resolver.follow({ query: 'q' }, { signal: end.signal })[Symbol.asyncIterator]();
    const next = async (): Promise<string> => outcome((await updates.next()).value as QueryExecution);
    expect(await next()).toBe('db@dc1 here after 0');
    mesh.set('dc2', 'db', 'near2'); // not followed while this datacenter is healthy
    mesh.set('dc1', 'db');
    expect(await next()).toBe('db@dc2 near2 after 1');
    mesh.lose('dc2');
    expect(await next()).toBe('db@dc3 far after 2');
    mesh.lose('dc2', false);
    expect(await next()).toBe('db@dc2 near2 after 1');
    mesh.set('dc1', 'db', 'back');
    expect(await next()).toBe('db@dc1 back after 0');
    mesh.set('dc1', 'cache', 'other');
    await queries.update({ id: ID, query: { Name: 'q', Service: { Service: 'cache' } } });
    expect(await next()).toBe('cache@dc1 other after 0');
    const last = updates.next();
    await queries.delete({ id: ID });
    await expect(last).rejects.toMatchObject({ code: 'not_found' });
  });

  it('tells those who sort for others that it is about their places', async () => {
    await create({ Name: 'q', Service: { Service: 'db', Near: '_ip' } });
    mesh.set('dc1', 'db', 'a', 'b', 'c');
    const first = async (more: object): Promise<QueryExecution> => {
      const updates = resolver.follow({ query: 'q', ...more }, { signal })[Symbol.asyncIterator]();
      const { value } = await updates.next();
      await updates.return?.();
      return value as QueryExecution;
    };
    expect((await first({})).Near).toBe('_ip');
    const near = await first({ near: 'c' });
    expect([near.Near, ...near.Nodes.map(({ Node }) => Node.Node)]).toEqual(['c', 'c', 'a', 'b']);
  });

  it('gives up waiting for a datacenter that does not answer', async () => {
    const end = new AbortController();
    await failover({ Datacenters: ['dc2', 'dc3'] });
    mesh.silent.add('dc2');
    mesh.set('dc3', 'db', 'far');
    const updates = resolver.follow({ query: 'q' }, { signal: end.signal })[Symbol.asyncIterator]();
    const first = updates.next();
    await clock.advance(3_000);
    expect(outcome((await first).value as QueryExecution)).toBe('db@dc3 far after 2');
    const last = updates.next();
    end.abort(new IsthmusError('cancelled', 'enough'));
    await expect(last).rejects.toThrow('enough');
  });
});
