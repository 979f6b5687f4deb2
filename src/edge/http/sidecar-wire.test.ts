import { afterEach, describe, expect, it } from 'vitest';
import { makeRoots } from '../../../test/fakes/ca-roots.ts';
import { FakeClock, settle } from '../../../test/fakes/fake-clock.ts';
import { Held } from '../../agent/cache/held.ts';
import { ConnectionAuthorizer } from '../../agent/connection-authorizer.ts';
import { createProxyConfigs, type ProxyConfigs } from '../../agent/proxycfg/proxy-configs.ts';
import type { ProxyRequest } from '../../agent/proxycfg/request.ts';
import { Verifiers } from '../../agent/proxycfg/verifiers.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { AsyncQueue } from '../../lib/queue.ts';
import type { CaRoots, LeafCert } from '../../model/ca.ts';
import type { NodeService, ServiceInstance } from '../../model/catalog.ts';
import type { DiscoveryChain } from '../../model/discovery-chain.ts';
import type { Verdicts } from '../../model/intention.ts';
import { compileMesh } from '../../model/layer7/mesh-settings.ts';
import type { SidecarUpdate } from '../../model/sidecar.ts';
import type { ResolvedTarget, ResolvedUpstream } from '../../model/upstream.ts';
import type { ServerContract } from '../../rpc/contract/contract.ts';
import { WatchPool } from '../../rpc/subscribe/watch-pool.ts';
import { type LogFields, noLog, noMetrics } from '../../telemetry/types.ts';
import { SidecarWire } from './sidecar-wire.ts';

/** Watches that a test answers by key `name|args|datacenter`. */
class FakeContract {
  readonly opened: string[] = [];
  readonly #queues = new Map<string, AsyncQueue<{ index: number; value: unknown }>>();
  readonly #answers = new Map<string, unknown>();
  readonly #broken = new Map<string, string>();
  #index = 1;

  static key(name: string, args: object, datacenter = ''): string {
    return `${name}|${JSON.stringify(args)}|${datacenter}`;
  }

  answer(key: string, value: unknown): void {
    this.#answers.set(key, value);
    this.#broken.delete(key);
    this.#index += 1;
    this.#queues.get(key)?.push({ index: this.#index, value });
  }

  break(key: string, reason: string): void {
    this.#broken.set(key, reason);
    this.#queues.get(key)?.fail(new IsthmusError('no_path', reason));
    this.#queues.delete(key);
  }

  get open(): number {
    return this.#queues.size;
  }

  readonly watch = ((name: string, args: object, options: { signal: AbortSignal; datacenter?: string }) => {
    const key = FakeContract.key(name, args, options.datacenter);
    this.opened.push(key);
    const broken = this.#broken.get(key);
    if (broken !== undefined) throw new IsthmusError('no_path', broken);
    const queue = new AsyncQueue<{ index: number; value: unknown }>();
    if (this.#answers.has(key)) queue.push({ index: this.#index, value: this.#answers.get(key) });
    queue.endOn(options.signal);
    options.signal.addEventListener('abort', () => this.#queues.delete(key), { once: true });
    this.#queues.set(key, queue);
    return queue;
  }) as unknown as ServerContract['watch'];
}

const DEFAULTS = FakeContract.key('config.list', { kind: 'proxy-defaults' });
const SERVICE_DEFAULTS = FakeContract.key('config.list', { kind: 'service-defaults', filter: 'Name == "web"' });
const MESH = FakeContract.key('config.list', { kind: 'mesh' });
const VERDICTS = FakeContract.key('intentions.verdicts', { destination: 'web' });
const DB = FakeContract.key('upstreams.resolve', { type: 'service', name: 'db', datacenter: 'dc2' });
const CACHE = FakeContract.key('upstreams.resolve', { type: 'service', name: 'cache', datacenter: 'dc1' });
const NOBODY: ResolvedUpstream = { targets: [] };

function verdicts(revision: number, source = '*'): Verdicts {
  return {
    destination: 'web',
    destinationDatacenter: 'dc1',
    rules: [{ source, destination: 'web', action: 'deny', precedence: 8, revision }],
    defaultAction: 'allow',
    revision,
  };
}

const SERVICE = {
  Tags: [],
  Address: '',
  Meta: {},
  Weights: { Passing: 1, Warning: 1 },
  EnableTagOverride: false,
  Connect: {},
  CreateIndex: 0,
  ModifyIndex: 0,
};

function proxy(changes: Partial<NodeService['Proxy']> = {}): NodeService {
  return {
    ...SERVICE,
    Kind: 'connect-proxy',
    ID: 'web-1-sidecar-proxy',
    Service: 'web-sidecar-proxy',
    Port: 21_000,
    Proxy: {
      DestinationServiceName: 'web',
      DestinationServiceID: 'web-1',
      LocalServiceAddress: '127.0.0.1',
      LocalServicePort: 8080,
      Config: { max_inbound_connections: 7 },
      Upstreams: [
        { DestinationType: 'service', DestinationName: 'db', Datacenter: 'dc2', LocalBindPort: 9191, MeshGateway: {} },
        { DestinationType: '', DestinationName: 'cache', LocalBindPort: 9192, MeshGateway: {} },
      ],
      MeshGateway: {},
      Expose: {},
      ...changes,
    },
  };
}

function instance(id: string, status: string, node: Partial<ServiceInstance['Node']> = {}): ServiceInstance {
  return {
    Node: {
      ID: '',
      Node: 'n1',
      Address: '10.0.0.1',
      Datacenter: 'dc2',
      TaggedAddresses: { wan: '198.51.100.1' },
      Meta: null,
      CreateIndex: 1,
      ModifyIndex: 1,
      ...node,
    },
    Service: {
      ...SERVICE,
      Kind: 'connect-proxy',
      ID: id,
      Service: 'db-proxy',
      Port: 21_001,
      Weights: { Passing: 10, Warning: 2 },
      Proxy: { DestinationServiceName: 'db', MeshGateway: {}, Expose: {} },
    },
    Checks: [
      {
        Node: 'n1',
        CheckID: 'c',
        Name: 'c',
        Status: status,
        Notes: '',
        Output: '',
        ServiceID: id,
        ServiceName: 'db-proxy',
        ServiceTags: [],
        Type: '',
        Definition: {},
        CreateIndex: 1,
        ModifyIndex: 1,
      },
    ],
  };
}

function target(datacenter: string, reached: boolean, ...instances: readonly ServiceInstance[]): ResolvedTarget {
  return { id: `db.${datacenter}`, service: 'db', datacenter, reached, known: true, instances };
}

/** db in dc2, as its servers tell it. */
function db(...instances: readonly ServiceInstance[]): ResolvedUpstream {
  return { connectTimeoutMs: 5_000, targets: [target('dc2', true, ...instances)] };
}

function leaf(serial: string): LeafCert {
  return {
    SerialNumber: serial,
    CertPEM: `cert ${serial}`,
    PrivateKeyPEM: `key ${serial}`,
    Service: 'web',
    ServiceURI: 'spiffe://td/ns/default/dc/dc1/svc/web',
    ValidAfter: '2026-01-01T00:00:00Z',
    ValidBefore: '2026-01-04T00:00:00Z',
    CreateIndex: 1,
    ModifyIndex: 1,
  };
}

const stops: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

function start() {
  const clock = new FakeClock();
  const contract = new FakeContract();
  const pool = new WatchPool({ contract, clock, log: noLog, metrics: noMetrics });
  const roots = new Held<CaRoots>(clock);
  const leaves = new Held<LeafCert>(clock);
  const services = new Map([['web-1-sidecar-proxy', proxy()]]);
  const listeners = new Set<() => void>();
  const warnings: LogFields[] = [];
  const configs = createProxyConfigs({
    pool,
    local: {
      get: (id) => services.get(id),
      list: () => [...services.values()],
      exposedPaths: () => [],
      servesExposed: () => () => undefined,
      onChange(listener) {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
    },
    leaves: {
      async *watch(_service, signal) {
        for await (const { value } of leaves.follow(signal)) yield value;
      },
    },
    roots: { held: roots },
    datacenter: 'dc1',
    node: 'n0',
    address: '10.0.0.1',
    clock,
    log: { ...noLog, warn: (message, fields = {}) => warnings.push({ message, ...fields }) },
    metrics: noMetrics,
  });
  stops.push(
    () => pool.stop(),
    () => configs.stop(),
  );
  const register = (service?: NodeService): void => {
    if (service === undefined) services.clear();
    else services.set(service.ID, service);
    for (const listener of listeners) listener();
  };
  return { clock, contract, pool, roots, leaves, configs, register, listeners, warnings };
}

type Started = ReturnType<typeof start>;

function answerAll({ contract, roots, leaves }: Started): void {
  contract.answer(DEFAULTS, []);
  contract.answer(SERVICE_DEFAULTS, []);
  contract.answer(MESH, []);
  contract.answer(VERDICTS, verdicts(5));
  contract.answer(DB, db(instance('db-1', 'passing')));
  contract.answer(CACHE, NOBODY);
  roots.set(makeRoots('r1'), 1);
  leaves.set(leaf('01'), 1);
}

const REGISTERED: ProxyRequest = { kind: 'registered', proxyId: 'web-1-sidecar-proxy' };

async function open(configs: ProxyConfigs, request: ProxyRequest = REGISTERED) {
  const controller = new AbortController();
  const session = new SidecarWire(await configs.open(request, controller.signal));
  const seen: SidecarUpdate[] = [];
  let ended: unknown;
  const done = (async () => {
    try {
      for await (const update of session.updates()) seen.push(update);
    } catch (error) {
      ended = error;
    }
  })();
  stops.push(async () => {
    controller.abort();
    await done;
  });
  return { session, seen, controller, done, ended: () => ended as IsthmusError | undefined };
}

const DB_KEY = 'service:db@dc2:9191';
const CACHE_KEY = 'service:cache@dc1:9192';

describe('proxy configuration', () => {
  it('starts with everything, once all of it is known', async () => {
    const all = start();
    const { contract, roots, leaves } = all;
    const { seen } = await open(all.configs);
    contract.answer(SERVICE_DEFAULTS, []);
    contract.answer(MESH, []);
    contract.answer(DEFAULTS, [
      { Kind: 'proxy-defaults', Name: 'global', Config: { a: 1, max_inbound_connections: 1 } },
    ]);
    contract.answer(VERDICTS, verdicts(5));
    contract.answer(DB, db(instance('db-1', 'passing')));
    roots.set(makeRoots('r1'), 1);
    leaves.set(leaf('01'), 1);
    await settle();
    expect(seen).toEqual([]);
    contract.answer(CACHE, NOBODY);
    await settle();
    expect(seen).toEqual([
      {
        version: 1,
        config: {
          proxyId: 'web-1-sidecar-proxy',
          service: 'web',
          datacenter: 'dc1',
          node: 'n0',
          listen: { address: '0.0.0.0', port: 21_000 },
          local: { address: '127.0.0.1', port: 8080 },
          upstreams: [
            {
              key: DB_KEY,
              type: 'service',
              name: 'db',
              datacenter: 'dc2',
              bindAddress: '127.0.0.1',
              bindPort: 9191,
              config: {},
            },
            {
              key: CACHE_KEY,
              type: 'service',
              name: 'cache',
              datacenter: 'dc1',
              bindAddress: '127.0.0.1',
              bindPort: 9192,
              config: {},
            },
          ],
          config: { a: 1, max_inbound_connections: 7 },
        },
        roots: {
          trustDomain: makeRoots('r1').TrustDomain,
          activeRootId: 'r1',
          roots: [{ id: 'r1', pem: makeRoots('r1').Roots[0]?.RootCert }],
        },
        leaf: {
          certPem: 'cert 01',
          keyPem: 'key 01',
          uri: 'spiffe://td/ns/default/dc/dc1/svc/web',
          validAfter: '2026-01-01T00:00:00Z',
          validBefore: '2026-01-04T00:00:00Z',
        },
        verdicts: verdicts(5),
        inbound: { protocol: 'tcp', mesh: compileMesh() },
        endpoints: {
          [DB_KEY]: [
            {
              id: 'dc2/n1/db-1',
              address: '198.51.100.1',
              port: 21_001,
              service: 'db',
              datacenter: 'dc2',
              weight: 10,
              target: 'db.dc2',
              connectTimeoutMs: 5_000,
            },
          ],
          [CACHE_KEY]: [],
        },
      },
    ]);
  });

  it('then sends only what changed, and nothing when nothing did', async () => {
    const all = start();
    answerAll(all);
    const { seen } = await open(all.configs);
    await settle();
    expect(seen).toHaveLength(1);
    all.contract.answer(VERDICTS, verdicts(6));
    await settle();
    all.leaves.set(leaf('02'), 2);
    await settle();
    all.contract.answer(DB, db(instance('db-1', 'warning')));
    await settle();
    all.contract.answer(DB, db(instance('db-1', 'warning')));
    all.register(proxy());
    await settle();
    expect(seen.slice(1).map((update) => Object.keys(update))).toEqual([
      ['version', 'verdicts'],
      ['version', 'leaf'],
      ['version', 'endpoints'],
    ]);
    expect(seen[3]?.endpoints?.[DB_KEY]).toMatchObject([{ id: 'dc2/n1/db-1', weight: 2 }]);
    expect(seen.map((update) => update.version)).toEqual([1, 2, 3, 4]);
  });

  it('sends where requests to an upstream go, target by target, and when they no longer have routes', async () => {
    const started = start();
    answerAll(started);
    const chain = (timeout: string): DiscoveryChain => ({
      ServiceName: 'db',
      Namespace: 'default',
      Datacenter: 'dc2',
      Protocol: 'http',
      StartNode: 'db',
      Nodes: {
        db: {
          Type: 'resolver',
          Name: 'db',
          Resolver: { ConnectTimeout: timeout, Target: 'db.dc2', Failover: { Targets: ['spare.dc1'] } },
        },
      },
      Targets: {},
    });
    const spare = { ...target('dc1', true), id: 'spare.dc1', service: 'spare' };
    const answer = (timeout: string, ...instances: readonly ServiceInstance[]): void =>
      started.contract.answer(DB, {
        ...db(instance('db-1', 'passing')),
        requests: { chain: chain(timeout), others: [{ ...spare, instances }] },
      });
    answer('5s');
    const { seen } = await open(started.configs);
    await settle();
    expect(seen[0]?.requests).toMatchObject({
      [DB_KEY]: {
        table: {
          service: 'db',
          destinations: { 'db.dc2': { targets: ['db.dc2', 'spare.dc1'], connectTimeoutMs: 5_000 } },
        },
        endpoints: { 'db.dc2': [{ service: 'db', target: 'db.dc2' }], 'spare.dc1': [] },
      },
    });
    answer('5s'); // told again, nothing is new
    await settle();
    expect(seen).toHaveLength(1);
    answer('5s', instance('spare-1', 'passing'));
    await settle();
    expect(seen[1]?.requests?.[DB_KEY]?.endpoints['spare.dc1']).toHaveLength(1);
    expect(seen[1]).not.toHaveProperty('endpoints');
    answer('1s', instance('spare-1', 'passing'));
    await settle();
    expect(seen[2]?.requests?.[DB_KEY]?.table.destinations['db.dc2']?.connectTimeoutMs).toBe(1_000);
    started.contract.answer(DB, db(instance('db-1', 'passing')));
    await settle();
    expect(seen[3]?.requests).toEqual({ [DB_KEY]: null });
  });

  it('collects what changes while the sidecar is busy into one update', async () => {
    const all = start();
    answerAll(all);
    const controller = new AbortController();
    const updates = new SidecarWire(await all.configs.open(REGISTERED, controller.signal)).updates();
    await updates.next();
    all.contract.answer(VERDICTS, verdicts(6));
    all.contract.answer(VERDICTS, verdicts(7));
    all.leaves.set(leaf('02'), 2);
    await settle();
    expect((await updates.next()).value).toMatchObject({
      version: 2,
      verdicts: { revision: 7 },
      leaf: { certPem: 'cert 02' },
    });
    await updates.return();
    expect(all.configs.verifiers.verifiers()).toEqual([]);
  });

  it('does not wait for a datacenter that can’t be reached, and keeps what it last knew of one', async () => {
    const all = start();
    answerAll(all);
    all.contract.break(DB, 'No path to datacenter');
    const { seen } = await open(all.configs);
    await settle();
    expect(seen[0]).toMatchObject({
      endpoints: { [CACHE_KEY]: [] },
      problems: { [DB_KEY]: 'No path to datacenter' },
    });
    expect(seen[0]?.endpoints).not.toHaveProperty(DB_KEY); // a sidecar that was there before keeps what it has
    all.contract.answer(DB, db(instance('db-1', 'passing')));
    await all.clock.advance(5_000);
    expect(seen[1]).toMatchObject({ endpoints: { [DB_KEY]: [{ id: 'dc2/n1/db-1' }] }, problems: { [DB_KEY]: '' } });
    all.contract.break(DB, 'cut');
    await settle();
    expect(seen[2]).toEqual({ version: 3, problems: { [DB_KEY]: 'cut' } });
  });

  it('gives up waiting for endpoints of a datacenter that is silent', async () => {
    const all = start();
    const { contract, roots, leaves } = all;
    contract.answer(DEFAULTS, []);
    contract.answer(SERVICE_DEFAULTS, []);
    contract.answer(MESH, []);
    contract.answer(VERDICTS, verdicts(5));
    contract.answer(CACHE, NOBODY);
    roots.set(makeRoots('r1'), 1);
    leaves.set(leaf('01'), 1);
    const { seen } = await open(all.configs);
    await all.clock.advance(1_900);
    expect(seen).toEqual([]);
    await all.clock.advance(200);
    expect(seen[0]?.problems).toEqual({ [DB_KEY]: 'it is not known yet where db leads' });
  });

  it('shares watches between proxies and ends them with the last', async () => {
    const all = start();
    answerAll(all);
    const first = await open(all.configs);
    const second = await open(all.configs);
    await settle();
    expect(first.seen).toHaveLength(1);
    expect(second.seen).toHaveLength(1);
    expect(all.contract.opened.filter((key) => key === DB)).toHaveLength(1);
    first.controller.abort();
    await settle();
    expect(all.contract.open).toBe(7);
    second.controller.abort();
    await settle();
    expect(all.contract.open).toBe(0);
    expect(all.listeners.size).toBe(0);
  });

  it('takes what the defaults of its service say, where the registration says nothing', async () => {
    const all = start();
    answerAll(all);
    const { seen } = await open(all.configs);
    await settle();
    const upstreams = () => seen.at(-1)?.config?.upstreams.map(({ config }) => config);
    expect(upstreams()).toEqual([{}, {}]);
    all.contract.answer(SERVICE_DEFAULTS, [
      {
        Kind: 'service-defaults',
        Name: 'web',
        MaxInboundConnections: 5,
        LocalConnectTimeoutMs: 6,
        UpstreamConfig: {
          Defaults: { ConnectTimeoutMs: 7, Limits: { MaxConnections: 8 } },
          Overrides: [{ Name: 'db', ConnectTimeoutMs: 9, PassiveHealthCheck: { MaxFailures: 2, Interval: '3s' } }],
        },
      },
    ]);
    await settle();
    expect(seen.at(-1)?.config?.config).toEqual({ max_inbound_connections: 7, local_connect_timeout_ms: 6 });
    expect(upstreams()).toEqual([
      {
        connect_timeout_ms: 9,
        limits: { max_connections: 8 },
        passive_health_check: { max_failures: 2, interval: '3s' },
      },
      { connect_timeout_ms: 7, limits: { max_connections: 8 } },
    ]);
  });

  it('says how requests that come in are seen, and follows the mesh entry and the protocol', async () => {
    const all = start();
    answerAll(all);
    const { seen } = await open(all.configs);
    await settle();
    all.contract.answer(SERVICE_DEFAULTS, [
      { Kind: 'service-defaults', Name: 'web', Protocol: 'http', LocalRequestTimeoutMs: 7 },
    ]);
    await settle();
    expect(seen[1]).toMatchObject({
      inbound: { protocol: 'http' },
      config: { config: { local_request_timeout_ms: 7 } },
    });
    all.contract.answer(MESH, [
      { Kind: 'mesh', Name: 'mesh', HTTP: { Incoming: { RequestNormalization: { MergeSlashes: true } } } },
    ]);
    await settle();
    expect(seen[2]).toMatchObject({ inbound: { mesh: { normalisation: { mergeSlashes: true, path: true } } } });
    expect(Object.keys(seen[2] ?? {})).toEqual(['version', 'inbound']);
  });

  it('follows changes of the registration', async () => {
    const all = start();
    answerAll(all);
    const { seen, ended } = await open(all.configs);
    await settle();
    all.register(proxy({ Upstreams: [] }));
    await settle();
    expect(seen[1]).toMatchObject({ version: 2, config: { upstreams: [] } });
    expect(all.contract.open).toBe(4);
    all.register(proxy({ DestinationServiceName: 'other' }));
    await settle();
    expect(ended()).toMatchObject({ code: 'unavailable' });
    const again = await open(all.configs);
    all.register();
    await settle();
    expect(again.ended()).toMatchObject({ code: 'not_found' });
  });

  it('finds the proxy beside a service, and says when there is none or too many', async () => {
    const all = start();
    answerAll(all);
    const { seen } = await open(all.configs, { kind: 'sidecar-for', serviceId: 'web-1' });
    await settle();
    expect(seen[0]?.config?.proxyId).toBe('web-1-sidecar-proxy');
    await expect(open(all.configs, { kind: 'sidecar-for', serviceId: 'nope' })).rejects.toMatchObject({
      code: 'not_found',
      message: 'No sidecar proxy registered for nope',
    });
    all.register({ ...proxy(), ID: 'second' });
    await expect(open(all.configs, { kind: 'sidecar-for', serviceId: 'web-1' })).rejects.toThrow(
      'following IDs: second, web-1-sidecar-proxy',
    );
    await expect(open(all.configs, { kind: 'registered', proxyId: 'nope' })).rejects.toMatchObject({
      code: 'not_found',
    });
  });

  it('serves a proxy that is not registered', async () => {
    const all = start();
    answerAll(all);
    const { seen } = await open(all.configs, {
      kind: 'standalone',
      service: 'web',
      upstreams: ['db.dc2:9191', 'cache:9192'],
    });
    await settle();
    expect(seen[0]?.config).toMatchObject({ service: 'web', upstreams: [{ key: DB_KEY }, { key: CACHE_KEY }] });
    expect(seen[0]?.config).not.toHaveProperty('listen');
    await expect(open(all.configs, { kind: 'standalone', service: 'web', upstreams: ['db'] })).rejects.toMatchObject({
      code: 'invalid_argument',
    });
  });

  it('lists what can be dialled by target, then the last known instances of targets out of reach', async () => {
    const all = start();
    answerAll(all);
    const { seen } = await open(all.configs);
    await settle();
    const [near, far, farther] = ['dc1', 'dc2', 'dc3'].map((dc) => instance(`db-${dc}`, 'passing', { Datacenter: dc }));
    all.contract.answer(DB, {
      targets: [
        target('dc1', false, near as ServiceInstance),
        target('dc2', true, far as ServiceInstance),
        target('dc3', true, farther as ServiceInstance),
      ],
    } satisfies ResolvedUpstream);
    await settle();
    const update = seen[1];
    expect(update?.problems).toEqual({ [DB_KEY]: 'no answer from datacenter dc1' });
    expect(
      update?.endpoints?.[DB_KEY]?.map((endpoint) => [endpoint.target, endpoint.address, endpoint.lastResort]),
    ).toEqual([
      ['db.dc2', '198.51.100.1', undefined],
      ['db.dc3', '198.51.100.1', undefined],
      ['db.dc1', '10.0.0.1', true],
    ]);
  });

  it('keeps what was known of a datacenter that the server, just started, has not reached yet', async () => {
    const all = start();
    answerAll(all);
    const { seen } = await open(all.configs);
    const far = instance('db-1', 'passing', { Datacenter: 'dc2' });
    const addresses = (): unknown => seen.at(-1)?.endpoints?.[DB_KEY]?.map(({ id }) => id);
    all.contract.answer(DB, db(far));
    await settle();
    all.contract.answer(DB, { targets: [{ ...target('dc2', false), known: false }] } satisfies ResolvedUpstream);
    await settle();
    expect(seen.at(-1)?.problems).toEqual({ [DB_KEY]: 'no answer from datacenter dc2' });
    expect(addresses()).toEqual(['dc2/n1/db-1']);
    all.contract.answer(DB, db());
    await settle();
    expect(addresses()).toEqual([]);
  });

  it('sends a known sidecar nothing that the agent has not yet learnt after its own restart', async () => {
    const all = start();
    answerAll(all);
    all.contract.answer(DB, { targets: [{ ...target('dc2', false), known: false }] } satisfies ResolvedUpstream);
    const { seen } = await open(all.configs);
    await settle();
    expect(seen[0]?.endpoints).toEqual({ [CACHE_KEY]: [] });
    all.contract.answer(DB, { targets: [target('dc2', false)] } satisfies ResolvedUpstream);
    await settle();
    expect(seen.at(-1)?.endpoints).toEqual({ [DB_KEY]: [] });
  });

  it('follows a prepared query in the datacenter that it was written in', async () => {
    const all = start();
    answerAll(all);
    const geo = {
      DestinationType: 'prepared_query',
      DestinationName: 'geo',
      LocalBindPort: 1,
      MeshGateway: {},
    } as const;
    all.register(proxy({ Upstreams: [geo, { ...geo, Datacenter: 'dc2', LocalBindPort: 2 }] }));
    const args = { type: 'prepared_query', name: 'geo', agent: { node: 'n0', segment: '' } };
    const here = FakeContract.key('upstreams.resolve', args);
    const there = FakeContract.key('upstreams.resolve', args, 'dc2');
    const { seen } = await open(all.configs);
    all.contract.answer(here, db(instance('db-1', 'passing')));
    all.contract.break(there, 'Query not found');
    await settle();
    expect(seen[0]).toMatchObject({
      endpoints: {
        'prepared_query:geo@dc1:1': [{ id: 'dc2/n1/db-1', service: 'db', datacenter: 'dc2' }],
      },
      problems: { 'prepared_query:geo@dc2:2': 'Query not found' },
    });
  });

  it('says once that an upstream does not get its mesh gateway', async () => {
    const all = start();
    answerAll(all);
    all.register(
      proxy({
        Upstreams: [
          { DestinationType: 'service', DestinationName: 'db', LocalBindPort: 1, MeshGateway: { Mode: 'local' } },
          { DestinationType: 'service', DestinationName: 'cache', LocalBindPort: 2, MeshGateway: { Mode: 'none' } },
        ],
      }),
    );
    await open(all.configs);
    await settle();
    expect(all.warnings).toEqual([
      {
        message: 'mesh gateways are not offered: the upstream is dialled directly',
        upstream: 'db',
        mesh_gateway: 'local',
      },
    ]);
  });
});

describe('verifiers', () => {
  it('hold what they acknowledged, and linger a while after they have gone', async () => {
    const all = start();
    answerAll(all);
    const { session, controller } = await open(all.configs);
    await settle();
    const { verifiers } = all.configs;
    const name = 'web-1-sidecar-proxy';
    expect(verifiers.verifiers()).toEqual([{ name, rootIds: undefined }]);
    session.acknowledge(1);
    expect(verifiers.verifiers()).toEqual([{ name, rootIds: ['r1'] }]);
    all.roots.set(makeRoots('r1', 'r2'), 2);
    await settle();
    all.leaves.set(leaf('02'), 2);
    await settle();
    session.acknowledge(1);
    expect(verifiers.verifiers()).toEqual([{ name, rootIds: ['r1'] }]);
    session.acknowledge(3);
    expect(verifiers.verifiers()).toEqual([{ name, rootIds: ['r1', 'r2'] }]);
    controller.abort();
    await settle();
    expect(verifiers.verifiers()).toHaveLength(1);
    const again = await open(all.configs);
    expect(verifiers.verifiers()).toEqual([{ name, rootIds: undefined }]);
    await settle();
    again.session.acknowledge(1);
    again.controller.abort();
    await all.clock.advance(11_000);
    expect(verifiers.verifiers()).toEqual([]);
  });
});

describe('processes of one service', () => {
  it('each hold what they acknowledged: one that comes stands for no other that is away', async () => {
    const all = start();
    answerAll(all);
    const { verifiers } = all.configs;
    const ids = ['00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000002'];
    const request = (instance = ''): ProxyRequest => ({ kind: 'standalone', service: 'web', upstreams: [], instance });
    const gone = await open(all.configs, request(ids[0]));
    await settle();
    gone.session.acknowledge(1);
    gone.controller.abort();
    await open(all.configs, request(ids[1]));
    expect(verifiers.verifiers()).toEqual([
      { name: `web-${ids[0]}`, rootIds: ['r1'] },
      { name: `web-${ids[1]}`, rootIds: undefined },
    ]);
    for (const wrong of ['x', `${ids[0]}0`, '../web'])
      await expect(open(all.configs, request(wrong))).rejects.toMatchObject({ code: 'invalid_argument' });
  });
});

describe('a proxy that is away and still takes connections', () => {
  it('holds the roots that it has confirmed until its check says that it has ended', async () => {
    const clock = new FakeClock();
    let listening = true;
    const verifiers = new Verifiers(clock, () => listening);
    const handle = verifiers.join('web');
    handle.holds(['r1']);
    handle.leave();
    await clock.advance(65_000);
    expect(verifiers.verifiers()).toEqual([{ name: 'web', rootIds: ['r1'] }]);
    listening = false;
    await clock.advance(10_000);
    expect(verifiers.verifiers()).toEqual([]);
    verifiers.close();
  });
});

describe('authorizer', () => {
  const noRoots = { held: new Held<CaRoots>(new FakeClock()) };
  const URI = 'spiffe://1234.consul/ns/default/dc/dc1/svc/db';

  it('decides from followed verdicts, with Consul’s texts', async () => {
    const { contract, pool } = start();
    const authorizer = new ConnectionAuthorizer({ pool, roots: noRoots, clock: new FakeClock(), aclsEnabled: false });
    stops.push(async () => authorizer.close());
    const { signal } = new AbortController();
    const ask = (Target: string, ClientCertURI: string) =>
      authorizer.authorize({ Target, ClientCertURI, ClientCertSerial: '07' }, { signal });
    contract.answer(VERDICTS, verdicts(5, 'other'));
    expect(await ask('web', URI)).toMatchObject({
      cacheHit: false,
      value: { Authorized: true, Reason: 'ACLs disabled, access is allowed by default' },
    });
    contract.answer(VERDICTS, verdicts(6, 'db'));
    await settle();
    expect(await ask('web', URI)).toMatchObject({
      cacheHit: true,
      ageMs: 0,
      value: {
        Authorized: false,
        Reason: 'Matched L4 intention: default/db => default/web (Precedence: 8, Action: DENY)',
      },
    });
    await expect(ask('', URI)).rejects.toMatchObject({
      code: 'invalid_argument',
      message: 'Bad request: Target service must be specified',
    });
    for (const uri of ['', 'https://x'])
      await expect(ask('web', uri)).rejects.toThrow('Bad request: ClientCertURI not a valid Connect identifier');
  });

  it('fails when the intentions are not known', async () => {
    const { contract, pool } = start();
    contract.break(VERDICTS, 'no leader');
    const authorizer = new ConnectionAuthorizer({ pool, roots: noRoots, clock: new FakeClock(), aclsEnabled: true });
    stops.push(async () => authorizer.close());
    const question = { Target: 'web', ClientCertURI: URI, ClientCertSerial: '' };
    await expect(authorizer.authorize(question, { signal: new AbortController().signal })).rejects.toMatchObject({
      code: 'unavailable',
    });
  });
});
