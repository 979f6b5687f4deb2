import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { FakeClock, settle } from '../../../test/fakes/fake-clock.ts';
import { FakeQueryMesh } from '../../../test/fakes/fake-query-mesh.ts';
import { memoryStore } from '../../../test/fakes/memory-store.ts';
import { createQueries } from '../../domain/queries/queries.ts';
import { IsthmusError } from '../../lib/errors.ts';
import type { DiscoveryChain, ServiceTargets } from '../../model/discovery-chain.ts';
import type { ResolveArgs, ResolvedUpstream } from '../../model/upstream.ts';
import { noLog } from '../../telemetry/types.ts';
import { createResolver } from './resolver.ts';

const store = memoryStore();
const mesh = new FakeQueryMesh();
const clock = new FakeClock();
/** What the resolver of db leads to, by datacenter. */
let leadsTo: readonly string[] = [];
const table = store.table<{ readonly id: string }>({
  name: 'resolvers',
  key: ({ id }) => id,
  topics: () => ['resolver'],
});

/** The chain of db, when it routes by request. */
let chain: DiscoveryChain | undefined;

const targets = (service: string, asked: string): ServiceTargets & { readonly topics: readonly string[] } => ({
  connectTimeoutMs: 700,
  ...(chain === undefined
    ? {}
    : {
        requests: {
          chain,
          targets: Object.values(chain.Targets).map(({ ID, Service, Datacenter }) => ({
            id: ID,
            service: Service,
            datacenter: Datacenter,
            filter: '',
            onlyPassing: false,
          })),
        },
      }),
  targets: (leadsTo.length === 0 ? [asked] : leadsTo).map((datacenter) => ({
    id: `${service}.default.${datacenter}`,
    service,
    datacenter,
    filter: datacenter === 'dc3' ? 'Service.Meta.v == 3' : '',
    onlyPassing: false,
  })),
  topics: ['resolver'],
});
const queries = createQueries({ store, instances: { topics: () => [], produce: () => [] } });
const resolver = createResolver({
  queries,
  mesh,
  subscribe: (topics, listener) => store.topics.subscribe(topics, listener),
  serviceTargets: targets,
  distance: () => Number.POSITIVE_INFINITY,
  nodeAt: () => undefined,
  clock,
  random: () => 0.5,
  log: noLog,
});
const { signal } = new AbortController();

/** Follows an upstream; `last` is what it leads to, `dc2:a,b` each, with a `?` where it can't be reached. */
function follow(args: ResolveArgs) {
  const life = new AbortController();
  const seen: string[] = [];
  const raw: ResolvedUpstream[] = [];
  const done = (async () => {
    try {
      for await (const upstream of resolver.upstream(args, { signal: life.signal })) {
        raw.push(upstream);
        seen.push(
          upstream.targets
            .map(
              ({ datacenter, reached, instances }) =>
                `${datacenter}${reached ? '' : '?'}:${instances.map(({ Node }) => Node.Node).join()}`,
            )
            .join(' '),
        );
      }
    } catch {
      // ended by the test
    }
  })();
  const end = async (): Promise<void> => {
    life.abort(new IsthmusError('cancelled', 'enough'));
    await done;
  };
  ends.push(end);
  return { seen, raw, end, last: () => seen.at(-1) };
}

/** One resolver for each name, with its targets in order. */
function chainOf(resolvers: Readonly<Record<string, readonly string[]>>): DiscoveryChain {
  const ids = Object.values(resolvers).flat();
  return {
    ServiceName: 'db',
    Namespace: 'default',
    Datacenter: 'dc1',
    Protocol: 'http',
    StartNode: 'db',
    Nodes: Object.fromEntries(
      Object.entries(resolvers).map(([name, [Target = '', ...Targets]]) => [
        name,
        { Type: 'resolver', Name: name, Resolver: { ConnectTimeout: '5s', Target, Failover: { Targets } } },
      ]),
    ),
    Targets: Object.fromEntries(
      ids.map((ID) => {
        const [Service = '', , Datacenter = ''] = ID.split('.');
        const names = { ID, Service, Namespace: 'default' as const, Datacenter, SNI: ID, Name: ID };
        return [ID, { ...names, MeshGateway: {}, Subset: {} }];
      }),
    ),
  };
}

const ends: (() => Promise<void>)[] = [];
const SERVICE: ResolveArgs = { type: 'service', name: 'db', datacenter: 'dc1' };
const change = (): Promise<unknown> => store.transact((tx) => tx.put(table, { id: `${clock.now()}` }));

beforeAll(() => store.start(signal));
beforeEach(() => {
  mesh.clear();
  leadsTo = ['dc1', 'dc2', 'dc3'];
  chain = undefined;
});
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
  expect(mesh.following).toBe(0);
});

describe('an upstream', () => {
  it('gets all its targets, as soon as one is healthy and again after every change', async () => {
    mesh.set('dc1', 'db', 'a');
    mesh.set('dc3', 'db', 'c');
    mesh.silent.add('dc2');
    const upstream = follow(SERVICE);
    await settle();
    expect(upstream.last()).toBe('dc1:a dc3:c');
    expect(upstream.raw[0]).toMatchObject({
      connectTimeoutMs: 700,
      targets: [{ id: 'db.default.dc1', service: 'db' }, { id: 'db.default.dc3' }],
    });
    await clock.advance(3_000);
    expect(upstream.last()).toBe('dc1:a dc2?: dc3:c');
    expect(upstream.raw.at(-1)?.targets.map(({ known }) => known)).toEqual([true, false, true]);
    mesh.silent.clear();
    mesh.set('dc2', 'db', 'b');
    await settle();
    expect(upstream.last()).toBe('dc1:a dc2:b dc3:c');
    const told = upstream.seen.length;
    mesh.set('dc2', 'other', 'x');
    await settle();
    expect(upstream.seen).toHaveLength(told);
  });

  it('waits for a target that comes before the first healthy one, but not for ever', async () => {
    mesh.silent.add('dc1');
    mesh.set('dc2', 'db', 'b');
    const upstream = follow(SERVICE);
    await clock.advance(2_000);
    expect(upstream.seen).toEqual([]);
    await clock.advance(1_000);
    expect(upstream.last()).toBe('dc1?: dc2:b dc3:');
  });

  it('keeps what it knows of a datacenter that is lost, and says that it is lost', async () => {
    for (const dc of leadsTo) mesh.set(dc, 'db', dc);
    const upstream = follow(SERVICE);
    await settle();
    mesh.lose('dc2');
    await settle();
    expect(upstream.last()).toBe('dc1:dc1 dc2?:dc2 dc3:dc3');
    mesh.lose('dc2', false);
    await settle();
    expect(upstream.last()).toBe('dc1:dc1 dc2:dc2 dc3:dc3');
  });

  it('of a service with requests follows its whole chain, each target once', async () => {
    leadsTo = ['dc1'];
    chain = chainOf({ db: ['db.default.dc1'], admin: ['admin.default.dc1', 'db.default.dc2'] });
    mesh.set('dc1', 'db', 'a');
    const upstream = follow(SERVICE);
    await settle();
    expect(upstream.last()).toBe('dc1:a');
    const others = () =>
      upstream.raw
        .at(-1)
        ?.requests?.others.map(({ id, instances }) => `${id}:${instances.map(({ Node }) => Node.Node).join()}`);
    expect(others()).toEqual(['admin.default.dc1:', 'db.default.dc2:']);
    mesh.set('dc1', 'admin', 'b');
    await settle();
    expect(others()).toEqual(['admin.default.dc1:b', 'db.default.dc2:']);
    chain = chainOf({ db: ['db.default.dc1'], admin: ['admin.default.dc1'] });
    await change();
    await settle();
    expect(others()).toEqual(['admin.default.dc1:b']);
    expect(upstream.raw.at(-1)?.requests?.chain).toBe(chain);
    const told = upstream.raw.length;
    await change();
    await settle();
    expect(upstream.raw).toHaveLength(told);
    chain = undefined;
    await change();
    await settle();
    expect(upstream.raw.at(-1)).not.toHaveProperty('requests');
  });

  it('follows the resolver of its service', async () => {
    for (const dc of leadsTo) mesh.set(dc, 'db', dc);
    const upstream = follow(SERVICE);
    await settle();
    leadsTo = ['dc3'];
    await change();
    await settle();
    expect(upstream.last()).toBe('dc3:dc3');
    expect(mesh.following).toBe(1);
    leadsTo = [];
    await change();
    await settle();
    expect(upstream.last()).toBe('dc1:dc1');
  });

  it('looks once at a place, however many follow it', async () => {
    mesh.set('dc1', 'db', 'a');
    const first = follow(SERVICE);
    const second = follow(SERVICE);
    await settle();
    expect(mesh.following).toBe(3);
    await first.end();
    expect(mesh.following).toBe(3);
    mesh.set('dc1', 'db', 'b');
    await settle();
    expect(second.last()).toBe('dc1:b dc2: dc3:');
  });

  it('that is a query has the targets of the query, in the same way', async () => {
    const { ID } = await queries.create({
      query: { Name: 'geo', Service: { Service: 'db', Failover: { Datacenters: ['dc3', 'dc2'] } } },
    });
    for (const dc of leadsTo) mesh.set(dc, 'db', dc);
    const upstream = follow({ type: 'prepared_query', name: 'geo' });
    await settle();
    expect(upstream.last()).toBe('dc1:dc1 dc3:dc3 dc2:dc2');
    expect(upstream.raw[0]).not.toHaveProperty('connectTimeoutMs');
    await queries.update({ id: ID, query: { Name: 'geo', Service: { Service: 'db', Tags: ['v1'] } } });
    await settle();
    expect(upstream.raw.at(-1)?.targets.map(({ id }) => id)).toEqual(['v1.db.dc1']);
    await queries.delete({ id: ID });
    await expect(
      resolver.upstream({ type: 'prepared_query', name: 'geo' }, { signal })[Symbol.asyncIterator]().next(),
    ).rejects.toMatchObject({ code: 'not_found' });
  });
});
