import { afterEach, describe, expect, it } from 'vitest';
import { FakeClock } from '../../../test/fakes/fake-clock.ts';
import type { ConfigEntry } from '../../model/config-entry.ts';
import type { ChainOverrides } from '../../model/discovery-chain.ts';
import { MemoryEngine } from '../../store/memory/memory-engine.ts';
import { Store } from '../../store/store.ts';
import { createEntries } from './entries.ts';

const stores: Store[] = [];

async function start() {
  const clock = new FakeClock();
  const store = new Store({ engine: new MemoryEngine(clock), clock, onError: () => undefined });
  const entries = createEntries({ store, datacenter: 'dc1', trustDomain: () => 'td.consul' });
  await store.start(new AbortController().signal);
  stores.push(store);
  const get = (kind: string, name: string): ConfigEntry => entries.reads['config.get'].produce({ kind, name });
  const apply = (entry: unknown, cas?: number) => entries.apply(cas === undefined ? { entry } : { entry, cas });
  return { store, entries, get, apply };
}

afterEach(async () => {
  for (const store of stores.splice(0)) await store.stop();
});

const DB = { Kind: 'service-defaults', Name: 'db', Protocol: 'http' };
const WEB = { Kind: 'service-defaults', Name: 'web', Protocol: 'http' };
const PROXY = {
  Kind: 'proxy-defaults',
  Name: 'global',
  Config: { protocol: 'http', x: 1 },
  MeshGateway: { Mode: 'local' },
};
const RESOLVER = {
  Kind: 'service-resolver',
  Name: 'db',
  DefaultSubset: 'v1',
  Subsets: { v1: { Filter: 'Service.Meta.v==1' } },
  Failover: { '*': { Datacenters: ['dc2'] } },
  ConnectTimeout: '3s',
};
const SPLITTER = {
  Kind: 'service-splitter',
  Name: 'web',
  Splits: [
    { Weight: 90, Service: 'web' },
    { Weight: 10, Service: 'db' },
  ],
};
const ROUTER = {
  Kind: 'service-router',
  Name: 'web',
  Routes: [{ Match: { HTTP: { PathPrefix: '/admin' } }, Destination: { Service: 'db' } }],
};

async function startWithChain() {
  const all = await start();
  for (const entry of [DB, WEB, PROXY, RESOLVER, SPLITTER, ROUTER]) expect(await all.apply(entry)).toBe(true);
  return all;
}

describe('configuration entries', () => {
  it('stores an entry with its zero objects shown and its revisions beside it', async () => {
    const { apply, get } = await start();
    await apply(DB);
    const entry = get('service-defaults', 'db');
    expect(entry).toEqual({ ...DB, MeshGateway: {}, Expose: {}, CreateIndex: 1, ModifyIndex: 1 });
    await apply({ ...DB, Protocol: 'GRPC' });
    expect(get('service-defaults', 'db')).toMatchObject({ Protocol: 'grpc', CreateIndex: 1, ModifyIndex: 2 });
  });

  it('reads keys in any case and in snake_case, and blocks written as lists of one', async () => {
    const { apply, get } = await start();
    await apply({
      kind: 'service-resolver',
      name: 'db',
      default_subset: 'v1',
      SUBSETS: [{ v1: [{ filter: 'Service.ID == x', only_passing: true }] }],
      connect_timeout: '90s',
    });
    expect(get('service-resolver', 'db')).toMatchObject({
      DefaultSubset: 'v1',
      Subsets: { v1: { Filter: 'Service.ID == x', OnlyPassing: true } },
      ConnectTimeout: '1m30s',
    });
  });

  it.each([
    [{ Kind: 'bogus', Name: 'x' }, 'Bad request: Request decoding failed: invalid config entry kind: bogus'],
    [
      { Kind: 'service-defaults', Name: 'q', Bogus: 1 },
      'Bad request: Request decoding failed: 1 error occurred:\n\t* invalid config key "Bogus"\n\n',
    ],
    [
      { Kind: 'service-splitter', Name: 'q', Splits: [{ Weight: 100, Oops: 1 }] },
      'Bad request: Request decoding failed: 1 error occurred:\n\t* invalid config key "Splits[0].Oops"\n\n',
    ],
  ])('refuses a malformed entry: %j', async (entry, text) => {
    const { apply } = await start();
    await expect(apply(entry)).rejects.toMatchObject({ code: 'invalid_argument', message: text });
  });

  it.each([
    [{ Kind: 'service-defaults' }, 'serviceName is required'],
    [
      { Kind: 'service-splitter', Name: 'db', Splits: [{ Weight: 50 }] },
      'the sum of all split weights must be 100, not 50.000000',
    ],
    [{ Kind: 'proxy-defaults', Name: 'x' }, 'invalid name ("x"), only "global" is supported'],
    [{ Kind: 'service-resolver', Name: 'x', Redirect: {} }, 'Redirect is empty'],
    [{ Kind: 'service-resolver', Name: 'x', DefaultSubset: 'v' }, 'DefaultSubset "v" is not a valid subset'],
    [
      { Kind: 'service-resolver', Name: 'x', Subsets: { v: { Filter: 'Oops.ID == 1' } } },
      'Filter for subset "v" is not a valid expression: Failed to create boolean expression evaluator: Selector ' +
        '"Oops" is not valid',
    ],
    [
      { Kind: 'service-router', Name: 'x', Routes: [{ Match: { HTTP: { PathExact: 'a' } } }] },
      "Route[0] PathExact doesn't start with '/': \"a\"",
    ],
    [{ Kind: 'service-intentions', Name: 'x' }, 'At least one source is required'],
    [
      { Kind: 'service-intentions', Name: 'x', Sources: [{ Name: 'a' }] },
      "Sources[0].Action must be set to 'allow' or 'deny'",
    ],
    [
      {
        Kind: 'service-intentions',
        Name: 'x',
        Sources: [
          { Name: 'a', Action: 'deny' },
          { Name: 'a', Action: 'allow' },
        ],
      },
      'Sources[1] defines "a" more than once',
    ],
  ])('refuses an entry that breaks a rule: %j', async (entry, text) => {
    const { apply } = await start();
    await expect(apply(entry)).rejects.toMatchObject({ code: 'rejected', message: text });
  });

  it('writes with check-and-set only when the index matches', async () => {
    const { apply, get } = await start();
    expect(await apply(DB, 7)).toBe(false);
    expect(await apply(DB, 0)).toBe(true);
    expect(await apply(DB, 0)).toBe(false);
    expect(await apply(DB, get('service-defaults', 'db').ModifyIndex as number)).toBe(true);
  });

  it('answers not found, refuses unknown kinds, and deletes without complaint', async () => {
    const { entries, get, apply } = await start();
    expect(() => get('service-defaults', 'none')).toThrow('Config entry not found for "service-defaults" / "none"');
    expect(() => get('bogus', 'x')).toThrow('invalid config entry kind: bogus');
    expect(await entries.delete({ kind: 'service-defaults', name: 'none' })).toEqual({});
    await apply(DB);
    await entries.delete({ kind: 'service-defaults', name: 'db' });
    expect(entries.reads['config.list'].produce({ kind: 'service-defaults' })).toEqual([]);
  });

  it('lists one kind, filtered', async () => {
    const { entries, apply } = await start();
    for (const entry of [WEB, DB, PROXY]) await apply(entry);
    const list = (filter?: string) =>
      entries.reads['config.list']
        .produce(filter === undefined ? { kind: 'service-defaults' } : { kind: 'service-defaults', filter })
        .map((entry) => entry.Name);
    expect(list()).toEqual(['db', 'web']);
    expect(list('Name == web')).toEqual(['web']);
  });

  it('wakes the readers of one entry only', async () => {
    const { store, entries, apply } = await start();
    await apply(DB);
    const read = entries.reads['config.get'];
    const before = store.topics.index(read.topics({ kind: 'service-defaults', name: 'db' }));
    await apply(WEB);
    expect(store.topics.index(read.topics({ kind: 'service-defaults', name: 'db' }))).toBe(before);
    expect(store.topics.index(read.topics({ kind: 'service-defaults', name: 'web' }))).toBe(before + 1);
  });
});

describe('service graph', () => {
  it('refuses a protocol that a chain through the service contradicts', async () => {
    const { apply, entries } = await startWithChain();
    const text = 'discovery chain "web" uses inconsistent protocols; service "db" has "grpc" which is not "http"';
    await expect(apply({ ...DB, Protocol: 'grpc' })).rejects.toThrow(text);
    expect(await entries.delete({ kind: 'proxy-defaults', name: 'global' })).toEqual({});
    await expect(entries.delete({ kind: 'service-defaults', name: 'db' })).rejects.toThrow('has "tcp"');
  });

  it('refuses routing and L7 permissions where the protocol has no requests', async () => {
    const { apply } = await start();
    await expect(apply(ROUTER)).rejects.toThrow(
      'discovery chain "web" uses a protocol "tcp" that does not permit advanced routing or splitting behavior',
    );
    const l7 = {
      Kind: 'service-intentions',
      Name: 'db',
      Sources: [{ Name: 'web', Permissions: [{ Action: 'allow', HTTP: { PathPrefix: '/v1', Methods: ['GET'] } }] }],
    };
    await expect(apply(l7)).rejects.toThrow('incompatible with L7 intentions permissions');
    await apply(DB);
    expect(await apply(l7)).toBe(true);
    await expect(apply({ ...DB, Protocol: 'tcp' })).rejects.toThrow('incompatible with L7 intentions permissions');
  });

  it('lets only one of two concurrent changes pass that together break a chain', async () => {
    const { apply } = await start();
    await apply(WEB);
    await apply(DB);
    const outcomes = await Promise.allSettled([apply(SPLITTER), apply({ ...DB, Protocol: 'grpc' })]);
    expect(outcomes.map((outcome) => outcome.status).sort()).toEqual(['fulfilled', 'rejected']);
  });
});

describe('discovery chain', () => {
  it('of a service without entries is its resolver', async () => {
    const { entries } = await start();
    expect(entries.reads['discoveryChain.get'].produce({ service: 'db' })).toEqual({
      Chain: {
        ServiceName: 'db',
        Namespace: 'default',
        Datacenter: 'dc1',
        Protocol: 'tcp',
        StartNode: 'resolver:db.default.dc1',
        Nodes: {
          'resolver:db.default.dc1': {
            Type: 'resolver',
            Name: 'db.default.dc1',
            Resolver: { ConnectTimeout: '5s', Default: true, Target: 'db.default.dc1' },
          },
        },
        Targets: {
          'db.default.dc1': {
            ID: 'db.default.dc1',
            Service: 'db',
            Namespace: 'default',
            Datacenter: 'dc1',
            MeshGateway: {},
            Subset: {},
            SNI: 'db.default.dc1.internal.td.consul',
            Name: 'db.default.dc1.internal.td.consul',
          },
        },
      },
    });
  });

  it('goes through router, splitter, subset and failover', async () => {
    const { entries } = await startWithChain();
    const { Chain } = entries.reads['discoveryChain.get'].produce({ service: 'web' });
    expect(Chain.StartNode).toBe('router:web.default');
    expect(Object.keys(Chain.Nodes)).toEqual([
      'resolver:v1.db.default.dc1',
      'resolver:web.default.dc1',
      'router:web.default',
      'splitter:web.default',
    ]);
    expect(Chain.Nodes['resolver:v1.db.default.dc1']).toEqual({
      Type: 'resolver',
      Name: 'v1.db.default.dc1',
      Resolver: { ConnectTimeout: '3s', Target: 'v1.db.default.dc1', Failover: { Targets: ['v1.db.default.dc2'] } },
    });
    expect(Chain.Nodes['router:web.default']).toMatchObject({
      Routes: [
        { Definition: ROUTER.Routes[0], NextNode: 'resolver:v1.db.default.dc1' },
        {
          Definition: {
            Match: { HTTP: { PathPrefix: '/' } },
            Destination: { Service: 'web', Namespace: 'default' },
          },
          NextNode: 'splitter:web.default',
        },
      ],
    });
    expect(Chain.Nodes['splitter:web.default']).toMatchObject({
      Splits: [
        { Weight: 90, NextNode: 'resolver:web.default.dc1' },
        { Weight: 10, NextNode: 'resolver:v1.db.default.dc1' },
      ],
    });
    expect(Chain.Targets['v1.db.default.dc2']).toMatchObject({
      MeshGateway: { Mode: 'local' },
      Subset: { Filter: 'Service.Meta.v==1' },
    });
  });

  it('compiled for another datacenter has that datacenter in its targets', async () => {
    const { entries } = await startWithChain();
    const { Chain } = entries.reads['discoveryChain.get'].produce({ service: 'db', compileDatacenter: 'dc2' });
    expect(Chain.Datacenter).toBe('dc2');
    expect(Chain.Nodes['resolver:v1.db.default.dc2']).toMatchObject({
      Resolver: { ConnectTimeout: '3s', Target: 'v1.db.default.dc2' },
    });
    expect(Object.keys(Chain.Targets)).toEqual(['v1.db.default.dc2']);
  });

  it('takes overrides, and tells chains apart that they changed', async () => {
    const { entries } = await startWithChain();
    const chain = (service: string, overrides: ChainOverrides) =>
      entries.reads['discoveryChain.get'].produce({ service, overrides }).Chain;
    expect(chain('db', { connectTimeoutMs: 3_000, protocol: 'http', meshGateway: 'local' })).toEqual(chain('db', {}));
    const slow = chain('db', { connectTimeoutMs: 9_000, meshGateway: 'remote' });
    expect(slow.Nodes[slow.StartNode]).toMatchObject({ Resolver: { ConnectTimeout: '9s' } });
    expect(Object.values(slow.Targets).map(({ MeshGateway }) => MeshGateway)).toEqual([{}, { Mode: 'remote' }]);
    const plain = chain('web', { protocol: 'tcp' });
    expect(plain).toMatchObject({ Protocol: 'tcp', StartNode: 'resolver:web.default.dc1' });
    expect(Object.keys(plain.Nodes)).toEqual(['resolver:web.default.dc1']);
    const hashes = [slow, plain, chain('web', { protocol: 'grpc' })].map(({ CustomizationHash }) => CustomizationHash);
    expect(new Set(hashes).size).toBe(3);
    for (const hash of hashes) expect(hash).toMatch(/^[0-9a-f]{8}$/);
  });

  it('keeps the subset within a service, and drops it with the service', async () => {
    const { entries, apply } = await start();
    const subsets = { Subsets: { v1: { OnlyPassing: true }, v2: {} } };
    await apply({ Kind: 'service-resolver', Name: 'spare', ...subsets, DefaultSubset: 'v2' });
    await apply({
      Kind: 'service-resolver',
      Name: 'db',
      ...subsets,
      DefaultSubset: 'v1',
      Failover: { v1: { Service: 'spare', Datacenters: ['dc1', 'dc2'] } },
      ConnectTimeout: '1s',
      LoadBalancer: { Policy: 'random' },
    });
    const { Chain } = entries.reads['discoveryChain.get'].produce({ service: 'db' });
    expect(Chain.Nodes[Chain.StartNode]).toMatchObject({
      Resolver: {
        Target: 'v1.db.default.dc1',
        Failover: { Targets: ['v2.spare.default.dc1', 'v2.spare.default.dc2'] },
      },
      LoadBalancer: { Policy: 'random' },
    });
    expect(entries.serviceTargets('db', 'dc1')).toMatchObject({
      connectTimeoutMs: 1_000,
      targets: [
        { id: 'v1.db.default.dc1', service: 'db', datacenter: 'dc1', filter: '', onlyPassing: true },
        { id: 'v2.spare.default.dc1', service: 'spare', datacenter: 'dc1', onlyPassing: false },
        { id: 'v2.spare.default.dc2', service: 'spare', datacenter: 'dc2' },
      ],
    });
  });

  it('leads requests where routers and splitters say, and is the same until an entry it read changes', async () => {
    const { entries, apply } = await start();
    await apply({ Kind: 'proxy-defaults', Name: 'global', Config: { protocol: 'http' } });
    const Routes = [{ Match: { HTTP: { PathPrefix: '/a' } }, Destination: { Service: 'admin' } }];
    await apply({ Kind: 'service-router', Name: 'web', Routes });
    const first = entries.serviceTargets('web', 'dc1');
    expect(first.targets.map(({ id }) => id)).toEqual(['web.default.dc1']);
    expect(first.requests?.targets.map(({ id }) => id)).toEqual(['admin.default.dc1', 'web.default.dc1']);
    await apply({ Kind: 'service-resolver', Name: 'other', ConnectTimeout: '1s' });
    expect(entries.serviceTargets('web', 'dc1').requests?.chain).toBe(first.requests?.chain);
    await apply({ Kind: 'service-resolver', Name: 'admin', ConnectTimeout: '1s' });
    expect(entries.serviceTargets('web', 'dc1').requests?.chain.Nodes['resolver:admin.default.dc1']).toMatchObject({
      Resolver: { ConnectTimeout: '1s' },
    });
    await entries.delete({ kind: 'service-router', name: 'web' });
    await apply({ Kind: 'service-defaults', Name: 'web', Protocol: 'tcp' });
    expect(entries.serviceTargets('web', 'dc1')).not.toHaveProperty('requests');
  });

  it('tells what to look at for changes of where a service leads', async () => {
    const { entries, apply, store } = await start();
    await apply({ Kind: 'service-resolver', Name: 'a', Redirect: { Service: 'b' } });
    const { topics } = entries.serviceTargets('a', 'dc1');
    const before = store.topics.index(topics);
    await apply({ Kind: 'service-resolver', Name: 'c', ConnectTimeout: '1s' });
    expect(store.topics.index(topics)).toBe(before);
    await apply({ Kind: 'service-resolver', Name: 'b', ConnectTimeout: '1s' });
    expect(store.topics.index(topics)).toBeGreaterThan(before);
  });

  it('has neither subsets nor failover for an external service', async () => {
    const { apply } = await start();
    await apply({ Kind: 'service-defaults', Name: 'db', ExternalSNI: 'db.example.com' });
    await expect(
      apply({ Kind: 'service-resolver', Name: 'db', Failover: { '*': { Datacenters: ['dc2'] } } }),
    ).rejects.toThrow('service "db" has an external SNI set; cannot define failover for external services');
  });

  it('refuses to delete what a chain leads through', async () => {
    const { entries, apply } = await startWithChain();
    await apply({ ...ROUTER, Routes: [{ ...ROUTER.Routes[0], Destination: { Service: 'db', ServiceSubset: 'v1' } }] });
    await expect(entries.delete({ kind: 'service-resolver', name: 'db' })).rejects.toThrow(
      'service "db" does not have a subset named "v1"',
    );
  });

  it('follows redirects and refuses circles', async () => {
    const { entries, apply } = await start();
    await apply({ Kind: 'service-resolver', Name: 'a', Redirect: { Service: 'b', Datacenter: 'dc9' } });
    const { Chain } = entries.reads['discoveryChain.get'].produce({ service: 'a' });
    expect(Chain.StartNode).toBe('resolver:b.default.dc9');
    await expect(
      apply({ Kind: 'service-resolver', Name: 'b', Redirect: { Service: 'a', Datacenter: 'dc9' } }),
    ).rejects.toThrow(
      'detected circular resolver redirect: [b.default.dc1 -> a.default.dc9 -> b.default.dc9 -> a.default.dc9]',
    );
  });
});

describe('replicated entries', () => {
  it('keeps fields of newer versions and refuses what breaks a rule', async () => {
    const { store, entries, get } = await start();
    const put = (entry: unknown) => store.transact((tx) => entries.applyReplicated(tx, { type: 'put', entry }));
    await put({ ...DB, MeshGateway: {}, Expose: {}, Newer: { a: 1 }, CreateIndex: 90, ModifyIndex: 91 });
    expect(get('service-defaults', 'db')).toMatchObject({ Protocol: 'http', Newer: { a: 1 }, ModifyIndex: 1 });
    await expect(
      put({ Kind: 'service-intentions', Name: 'x', Sources: [{ Name: 'a', Action: 'maybe' }] }),
    ).rejects.toThrow("Sources[0].Action must be set to 'allow' or 'deny'");
    await expect(put({ Kind: 'service-intentions', Name: 'x', Sources: 7 })).rejects.toThrow();
    await expect(put({ Kind: 'new-kind', Name: 'x' })).rejects.toThrow('invalid config entry kind: new-kind');
    await store.transact((tx) => entries.applyReplicated(tx, { type: 'delete', kind: 'service-defaults', name: 'db' }));
    expect(() => get('service-defaults', 'db')).toThrow('not found');
  });

  it('keeps what was written with IDs', async () => {
    const { store, entries, get } = await start();
    const entry = {
      Kind: 'service-intentions',
      Name: 'db',
      Sources: [{ Name: 'web', Action: 'deny', Precedence: 9, LegacyID: 'id', Type: 'consul', LegacyMeta: { a: 'b' } }],
    };
    await store.transact((tx) => entries.applyReplicated(tx, { type: 'put', entry }));
    expect(get('service-intentions', 'db')).toEqual({ ...entry, CreateIndex: 1, ModifyIndex: 1 });
  });
});
