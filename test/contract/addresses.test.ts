import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { endpointsOf } from '../../src/agent/proxycfg/endpoints.ts';
import { createEntries } from '../../src/domain/entries/entries.ts';
import { createQueries } from '../../src/domain/queries/queries.ts';
import { Recursors } from '../../src/edge/dns/recursors.ts';
import { Resolver } from '../../src/edge/dns/resolver.ts';
import type { DnsRecord } from '../../src/edge/dns/types.ts';
import { Query } from '../../src/edge/http/query.ts';
import { apiRoutes } from '../../src/edge/http/routes/all.ts';
import { systemClock } from '../../src/lib/clock.ts';
import type { CatalogNode, NodeService } from '../../src/model/catalog.ts';
import type { QueryExecution } from '../../src/model/prepared-query.ts';
import type { SidecarEndpoint } from '../../src/model/sidecar.ts';
import type { ServerContract } from '../../src/rpc/contract/contract.ts';
import { makeResult } from '../../src/rpc/contract/result.ts';
import { createResolver } from '../../src/server/resolve/resolver.ts';
import { noLog } from '../../src/telemetry/types.ts';
import { FakeQueryMesh } from '../fakes/fake-query-mesh.ts';
import { memoryStore } from '../fakes/memory-store.ts';

/** Which address is handed out, wherever one asks: every edge must say the same. */

type Tags =
  | 'none'
  | 'node'
  | 'service'
  | 'node, own address'
  | 'service, beside what agents add'
  | 'service, by family';
type Where = 'local' | 'remote' | 'failed over';

const INDEXES = { CreateIndex: 1, ModifyIndex: 1 };

function nodeOf(tags: Tags, datacenter: string): CatalogNode {
  const wan = tags === 'none' ? {} : { wan: '198.51.100.1' };
  return {
    ID: '',
    Node: 'n1',
    Address: '10.0.0.1',
    Datacenter: datacenter,
    TaggedAddresses: { lan: '10.0.0.1', ...wan },
    Meta: null,
    ...INDEXES,
  };
}

const OWN = { Address: '10.0.0.9', Port: 5_432 };
const WAN = { Address: '203.0.113.7', Port: 15_432 };
/** As agents complete a service that has an address of its own. */
const ADDED = { lan_ipv4: OWN, wan_ipv4: OWN };

const TAGGED: Readonly<Record<Tags, NodeService['TaggedAddresses']>> = {
  none: undefined,
  node: undefined,
  service: { wan: WAN },
  'node, own address': ADDED,
  'service, beside what agents add': { ...ADDED, wan: WAN },
  'service, by family': { ...ADDED, wan_ipv4: WAN },
};

function serviceOf(tags: Tags): NodeService {
  const tagged = TAGGED[tags];
  return {
    ID: 'db',
    Service: 'db',
    Tags: [],
    Address: tagged?.lan_ipv4?.Address ?? '',
    ...(tagged === undefined ? {} : { TaggedAddresses: tagged }),
    Meta: null,
    Port: 5_432,
    Weights: { Passing: 1, Warning: 1 },
    EnableTagOverride: false,
    Proxy: { MeshGateway: {}, Expose: {} },
    Connect: { Native: true },
    ...INDEXES,
  };
}

/** What everyone must hand out. */
const WANTED: Readonly<Record<Tags, Readonly<Record<'near' | 'far', string>>>> = {
  none: { near: '10.0.0.1:5432', far: '10.0.0.1:5432' },
  node: { near: '10.0.0.1:5432', far: '198.51.100.1:5432' },
  service: { near: '10.0.0.1:5432', far: '203.0.113.7:15432' },
  'node, own address': { near: '10.0.0.9:5432', far: '10.0.0.9:5432' },
  'service, beside what agents add': { near: '10.0.0.9:5432', far: '203.0.113.7:15432' },
  'service, by family': { near: '10.0.0.9:5432', far: '203.0.113.7:15432' },
};

const CASES = (Object.keys(WANTED) as Tags[]).flatMap((tags) =>
  (['local', 'remote', 'failed over'] as const).map((where) => ({
    tags,
    where,
    wanted: WANTED[tags][where === 'local' ? 'near' : 'far'],
  })),
);

function setting(tags: Tags, where: Where) {
  const home = where === 'local' ? 'dc1' : 'dc2';
  const instance = { Node: nodeOf(tags, home), Service: serviceOf(tags), Checks: [] };
  const execution: QueryExecution = {
    Service: 'db',
    Nodes: [instance],
    DNS: { TTL: '' },
    Datacenter: home,
    Failovers: where === 'failed over' ? 1 : 0,
    Index: 0,
    LastContact: 0,
    KnownLeader: true,
    ConsistencyLevel: 'leader',
    NotModified: false,
  };
  const flat = {
    ID: '',
    Node: 'n1',
    Address: instance.Node.Address,
    Datacenter: home,
    TaggedAddresses: instance.Node.TaggedAddresses,
    ServiceAddress: instance.Service.Address,
    ...(instance.Service.TaggedAddresses === undefined
      ? {}
      : { ServiceTaggedAddresses: instance.Service.TaggedAddresses }),
    ServicePort: instance.Service.Port,
  };
  const read = (name: string): unknown => {
    switch (name) {
      case 'catalog.service':
        return [flat];
      case 'health.service':
        return [instance];
      case 'catalog.datacenters':
        return ['dc1', 'dc2'];
      default:
        return execution;
    }
  };
  return { instance, execution, read, dc: where === 'remote' ? 'dc=dc2' : '' };
}

async function http(tags: Tags, where: Where, path: string): Promise<unknown> {
  const { read, dc } = setting(tags, where);
  const routes = apiRoutes({
    contract: {
      read: async (name: string) => makeResult({ index: 1, value: read(name) }),
    } as unknown as ServerContract,
    snapshots: {} as never,
    agent: { nodeName: 'a', sidecars: {}, access: {} } as never,
    datacenter: 'dc1',
    translateWanAddrs: true,
    clock: systemClock,
  });
  const answer = await routes
    .find((route) => route.method === 'GET' && route.path === path)
    ?.handle({
      method: 'GET',
      path,
      params: { service: 'db', query: 'db' },
      query: new Query(dc),
      token: undefined,
      signal: new AbortController().signal,
      body: Buffer.alloc(0),
      bodyStream: Readable.from([]),
      remoteAddress: '127.0.0.1',
      header: () => undefined,
    });
  return answer?.bytes === undefined ? answer?.json : JSON.parse(answer.bytes.toString());
}

async function dns(tags: Tags, where: Where, type: 'A' | 'SRV'): Promise<readonly DnsRecord[]> {
  const { read } = setting(tags, where);
  const resolver = new Resolver(
    {
      answers: {
        ask: async ({ name }) => ({ value: read(name) as never, problem: undefined }),
        fresh: () => false,
      },
      recursors: new Recursors(systemClock, { addresses: [], timeoutMs: 1 }),
      contract: { read: async (name: string) => makeResult({ index: 1, value: read(name) }) } as never,
      token: () => '',
      now: () => 0,
      random: () => 0,
    },
    {
      domain: 'consul',
      altDomain: '',
      datacenter: 'dc1',
      node: 'a',
      translateWanAddrs: true,
      onlyPassing: false,
      nodeMetaTxt: false,
      nodeTtlMs: 0,
      serviceTtlMs: {},
      aRecordLimit: 0,
      soa: { refresh: 0, retry: 0, expire: 0, minTtl: 0 },
    },
  );
  const name = { local: 'db.service.consul', remote: 'db.service.dc2.consul', 'failed over': 'db.query.consul' }[where];
  const reply = await resolver.resolve({ name, type, limit: 10 }, new AbortController().signal);
  return reply?.answers ?? [];
}

/** Only queries and the upstreams of sidecars fail over. */
const SINGLE = CASES.filter(({ where }) => where !== 'failed over');

describe('the address that is handed out', () => {
  it.each(SINGLE)('catalog, $where, WAN address of $tags', async ({ tags, where, wanted }) => {
    const [found] = (await http(tags, where, '/v1/catalog/service/*service')) as readonly Record<string, unknown>[];
    expect(`${found?.ServiceAddress || found?.Address}:${found?.ServicePort}`).toBe(wanted);
  });

  it.each(SINGLE)('health, $where, WAN address of $tags', async ({ tags, where, wanted }) => {
    const [found] = (await http(tags, where, '/v1/health/service/*service')) as QueryExecution['Nodes'];
    expect(`${found?.Service.Address || found?.Node.Address}:${found?.Service.Port}`).toBe(wanted);
  });

  it.each(CASES)('query, $where, WAN address of $tags', async ({ tags, where, wanted }) => {
    const { Nodes } = (await http(tags, where, '/v1/query/:query/execute')) as QueryExecution;
    expect(`${Nodes[0]?.Service.Address || Nodes[0]?.Node.Address}:${Nodes[0]?.Service.Port}`).toBe(wanted);
  });

  it.each(CASES)('DNS A, $where, WAN address of $tags', async ({ tags, where, wanted }) => {
    const [record] = await dns(tags, where, 'A');
    expect(record?.data).toEqual({ type: 'A', address: wanted.split(':')[0] });
  });

  it.each(CASES)('DNS SRV, $where, WAN address of $tags', async ({ tags, where, wanted }) => {
    const [record] = await dns(tags, where, 'SRV');
    const address = record?.extra?.[0]?.data;
    expect([address, record?.data]).toMatchObject([
      { address: wanted.split(':')[0] },
      { port: Number(wanted.split(':')[1]) },
    ]);
    expect(record?.extra?.[0]?.name).toBe(record?.data.type === 'SRV' ? record.data.target : '');
  });

  for (const type of ['service', 'prepared_query'] as const) {
    it.each(CASES)(`sidecar, $where, WAN address of $tags, as ${type}`, async ({ tags, where, wanted }) => {
      const home = where === 'local' ? 'dc1' : 'dc2';
      expect(await sidecar(tags, where, type)).toMatchObject([
        { address: wanted.split(':')[0], port: Number(wanted.split(':')[1]), service: 'db', datacenter: home },
      ]);
    });
  }

  it.each(CASES.filter(({ where }) => where === 'remote'))(
    'sidecar, redirected, WAN address of $tags',
    async ({ tags, wanted }) => {
      const redirect = { Kind: 'service-resolver', Name: 'alias', Redirect: { Service: 'db', Datacenter: 'dc2' } };
      expect(await sidecar(tags, 'remote', 'service', { name: 'alias', entry: redirect })).toMatchObject([
        { address: wanted.split(':')[0], port: Number(wanted.split(':')[1]), service: 'db', datacenter: 'dc2' },
      ]);
    },
  );
});

/** What a sidecar in dc1 dials: resolvers and queries decide where to look, as servers and agents do it together. */
async function sidecar(
  tags: Tags,
  where: Where,
  type: 'service' | 'prepared_query',
  resolver: { readonly name: string; readonly entry?: object } = { name: 'db' },
): Promise<readonly SidecarEndpoint[]> {
  const home = where === 'local' ? 'dc1' : 'dc2';
  const store = memoryStore();
  const mesh = new FakeQueryMesh();
  const entries = createEntries({ store, datacenter: 'dc1', trustDomain: () => 'td.consul' });
  const queries = createQueries({
    store,
    instances: { topics: () => [], produce: () => [] },
  });
  const upstreams = createResolver({
    queries,
    mesh,
    subscribe: (topics, listener) => store.topics.subscribe(topics, listener),
    serviceTargets: (service, from) => entries.serviceTargets(service, from),
    distance: () => Number.POSITIVE_INFINITY,
    nodeAt: () => undefined,
    clock: systemClock,
    random: () => 0,
    log: noLog,
  });
  const life = new AbortController();
  await store.start(life.signal);
  try {
    mesh.put(home, 'db', [setting(tags, where).instance]);
    const Failover = { Datacenters: ['dc2'] };
    if (resolver.entry !== undefined) await entries.apply({ entry: resolver.entry });
    else if (where === 'failed over')
      await entries.apply({ entry: { Kind: 'service-resolver', Name: 'db', Failover: { '*': Failover } } });
    await queries.create({ query: { Name: 'q', Service: { Service: 'db', Failover } } });
    const args =
      type === 'service'
        ? { type, name: resolver.name, datacenter: where === 'remote' && resolver.entry === undefined ? 'dc2' : 'dc1' }
        : { type, name: 'q' };
    for await (const upstream of upstreams.upstream(args, { signal: life.signal })) {
      const endpoints = endpointsOf(upstream, 'dc1');
      if (endpoints.length > 0) return endpoints;
    }
    return [];
  } finally {
    life.abort();
    await store.stop();
  }
}
