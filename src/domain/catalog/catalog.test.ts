import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { memoryStore } from '../../../test/fakes/memory-store.ts';
import { newUuid } from '../../lib/ids.ts';
import type { RegisterRequest } from '../../model/catalog.ts';
import { coordinateAt } from '../../model/coordinate.ts';
import type { Store } from '../../store/store.ts';
import { type Catalog, createCatalog } from './catalog.ts';
import type { CatalogReads } from './reads.ts';

const SIGNAL = new AbortController().signal;

let store: Store;
let catalog: Catalog;
let reads: CatalogReads;

beforeEach(async () => {
  store = memoryStore();
  catalog = createCatalog({ store, datacenter: 'dc1' });
  reads = catalog.reads;
  await store.start(SIGNAL);
});
afterEach(() => store.stop());

function instance(node: string, service: string, more: Partial<RegisterRequest> = {}): RegisterRequest {
  return { Node: node, Address: '10.0.0.1', Service: { Service: service, Port: 1 }, ...more };
}

/** The topics of `watched` that `change` touches. */
async function woken(
  watched: Readonly<Record<string, readonly string[]>>,
  change: () => Promise<unknown>,
): Promise<string[]> {
  const names = new Set<string>();
  const ends = Object.entries(watched).map(([name, topics]) => store.topics.subscribe(topics, () => names.add(name)));
  await change();
  for (const end of ends) end();
  return [...names].sort();
}

describe('who is woken', () => {
  beforeEach(async () => {
    await catalog.register(instance('a', 'web'));
    await catalog.register(instance('a', 'db'));
    await catalog.register(instance('b', 'api'));
    const proxy = {
      Kind: 'connect-proxy',
      Service: 'db-proxy',
      Port: 2,
      Proxy: { DestinationServiceName: 'db', MeshGateway: {}, Expose: {} },
    };
    await catalog.register({ Node: 'a', Address: '10.0.0.1', Service: proxy });
  });

  const watched = () => ({
    nodes: reads['catalog.nodes'].topics({}),
    services: reads['catalog.services'].topics({}),
    'service web': reads['catalog.service'].topics({ service: 'web' }),
    'service db': reads['catalog.service'].topics({ service: 'DB' }),
    'connect db': reads['catalog.service'].topics({ service: 'db', connect: true }),
    'service api': reads['catalog.service'].topics({ service: 'api' }),
    'health web': reads['health.service'].topics({ service: 'web' }),
    'health db': reads['health.service'].topics({ service: 'db' }),
    'health connect db': reads['health.service'].topics({ service: 'db', connect: true }),
    'health api': reads['health.service'].topics({ service: 'api' }),
    'checks db': reads['health.checks'].topics({ service: 'db' }),
    'node a': reads['catalog.node'].topics({ node: 'a' }),
    'node b': reads['catalog.node'].topics({ node: 'b' }),
    'node-checks a': reads['health.node'].topics({ node: 'a' }),
    'state any': reads['health.state'].topics({ state: 'any' }),
  });

  it('by a service: its readers and its node’s', async () => {
    const change = () => catalog.register({ ...instance('a', 'web'), Service: { Service: 'web', Port: 99 } });
    expect(await woken(watched(), change)).toEqual(['health web', 'node a', 'service web', 'services']);
  });

  it('by a proxy: those who look for its destination’s mesh instances too', async () => {
    const change = () => catalog.deregister({ Node: 'a', ServiceID: 'db-proxy' });
    expect(await woken(watched(), change)).toEqual(['connect db', 'health connect db', 'node a', 'services']);
  });

  it('by a service’s check: who reads health of that service', async () => {
    const change = () => catalog.register({ ...instance('a', 'db'), Check: { CheckID: 'x', ServiceID: 'db' } });
    expect(await woken(watched(), change)).toEqual(['checks db', 'health db', 'node-checks a', 'state any']);
  });

  it('by a node’s check: who reads health of anything on that node', async () => {
    const change = () => catalog.register({ ...instance('a', 'db'), Check: { CheckID: 'x' } });
    expect(await woken(watched(), change)).toEqual([
      'health connect db',
      'health db',
      'health web',
      'node-checks a',
      'state any',
    ]);
  });

  it('by a node: who reads anything on it', async () => {
    const change = () => catalog.register({ Node: 'b', Address: '10.9.9.9' });
    expect(await woken(watched(), change)).toEqual(['health api', 'node b', 'nodes', 'service api']);
  });

  it('by a registration that changes nothing: no watch, and nothing is written', async () => {
    const before = store.revision;
    expect(await woken(watched(), () => catalog.register(instance('a', 'web')))).toEqual([]);
    expect(await woken(watched(), () => catalog.deregister({ Node: 'zz' }))).toEqual([]);
    expect(store.revision).toBe(before);
  });

  it('by deleting a node: all that was on it', async () => {
    await catalog.deregister({ Node: 'A' });
    expect(reads['catalog.node'].produce({ node: 'a' })).toBeNull();
    expect(reads['catalog.services'].produce({})).toEqual({ api: [] });
    expect(catalog.tables.services.size).toBe(1);
    expect(reads['catalog.service'].produce({ service: 'db', connect: true })).toEqual([]);
  });
});

describe('registration', () => {
  it.each([
    { Port: 70_000 },
    { Port: -1 },
    { TaggedAddresses: { wan: { Address: '1.1.1.1', Port: 65_536 } } },
    { Proxy: { LocalServicePort: -1, MeshGateway: {}, Expose: {} } },
    { Proxy: { Upstreams: [{ DestinationName: 'a', LocalBindPort: 99_999 }], MeshGateway: {}, Expose: {} } },
  ])('refuses a port that can not be: %o', async (more) => {
    const Service = { Service: 'web', ...more } as NonNullable<RegisterRequest['Service']>;
    await expect(catalog.register({ Node: 'a', Address: '10.0.0.1', Service })).rejects.toThrow(
      /^Invalid port (?:70000|-1|65536|99999): must be from 0 to 65535$/,
    );
    expect(reads['catalog.nodes'].produce({})).toEqual([]);
  });

  it('lists the services and tags of the instances that fulfil an expression', async () => {
    const web = (node: string, tags: string[]) => ({ ID: `web-${node}`, Service: 'web', Tags: tags, Port: 1 });
    await catalog.register({ Node: 'a', Address: '10.0.0.1', Service: web('a', ['blue']) });
    await catalog.register({ Node: 'b', Address: '10.0.0.2', NodeMeta: { rack: '2' }, Service: web('b', ['green']) });
    const list = (filter: string) => reads['catalog.services'].produce({ filter });
    expect(list('ServiceName == web')).toEqual({ web: ['blue', 'green'] });
    expect(list('Node == b and ServiceName == web')).toEqual({ web: ['green'] });
    expect(list('NodeMeta.rack == "2" and green in ServiceTags')).toEqual({ web: ['green'] });
    expect(list('ServiceName == nothing')).toEqual({});
    expect(() => list('Nope == 1')).toThrow('Nope');
    const topics = reads['catalog.services'].topics({ filter: 'Node == b' });
    const before = store.topics.index(topics);
    await catalog.register({ Node: 'b', Address: '10.0.0.9' });
    expect(store.topics.index(topics)).toBeGreaterThan(before);
  });

  it('finds names without regard to case and sorts by distance', async () => {
    for (const node of ['a', 'b', 'c']) await catalog.register(instance(node, 'Web'));
    await catalog.updateCoordinate({ Node: 'a', Coord: coordinateAt(3, 0) });
    await catalog.updateCoordinate({ Node: 'b', Coord: coordinateAt(1, 1) });
    const near = reads['catalog.service'].produce({ service: 'wEB', near: 'b' }).map((row) => row.Node);
    expect(near).toEqual(['b', 'a', 'c']);
    expect(reads['catalog.nodes'].produce({ near: 'b' }).map((row) => row.Node)).toEqual(['b', 'a', 'c']);
  });

  it('keeps the node’s row when told so', async () => {
    await catalog.register({ Node: 'a', Address: '10.0.0.1', NodeMeta: { rack: 'a' } });
    await catalog.register({ Node: 'a', Address: '10.0.0.2', SkipNodeUpdate: true, Service: { Service: 'web' } });
    expect(reads['catalog.node'].produce({ node: 'a' })?.Node).toMatchObject({
      Address: '10.0.0.1',
      Meta: { rack: 'a' },
    });
    await catalog.register({ Node: 'new', SkipNodeUpdate: true });
    expect(reads['catalog.node'].produce({ node: 'new' })?.Node.Address).toBe('');
  });

  it('gives a check its service’s name and tags, critical unless it says otherwise', async () => {
    await catalog.register({ Node: 'a', Address: '1.1.1.1', Service: { Service: 'web', ID: 'w1', Tags: ['t'] } });
    await catalog.register({ Node: 'a', Address: '1.1.1.1', Checks: [{ Name: 'c', ServiceID: 'w1' }] });
    expect(reads['health.checks'].produce({ service: 'web' })).toMatchObject([
      { CheckID: 'c', Status: 'critical', ServiceName: 'web', ServiceTags: ['t'] },
    ]);
    expect(reads['health.service'].produce({ service: 'web', passing: true })).toEqual([]);
    expect(reads['health.service'].produce({ service: 'web', tags: ['T'] })).toHaveLength(1);
    expect(reads['health.service'].produce({ service: 'web', tags: ['t', 'u'] })).toEqual([]);
  });

  it('renames a node by its ID and takes what was on the old one away', async () => {
    const ID = newUuid();
    await catalog.register({ ...instance('old', 'web'), ID });
    await catalog.register({ Node: 'new', Address: '10.0.0.1', ID });
    expect(reads['catalog.nodes'].produce({}).map((node) => node.Node)).toEqual(['new']);
    expect(reads['catalog.services'].produce({})).toEqual({});
  });

  it('takes no living node’s name', async () => {
    const alive = { CheckID: 'serfHealth', Status: 'passing' };
    const holder = newUuid();
    const ID = newUuid();
    await catalog.register({ Node: 'a', Address: '10.0.0.1', ID: holder, Check: alive });
    await expect(catalog.register({ Node: 'A', Address: '10.0.0.2', ID })).rejects.toMatchObject({
      code: 'rejected',
      message:
        `failed inserting node: Error while renaming Node ID: "${ID}": Node name A is reserved by node ` +
        `${holder} with name a (10.0.0.1)`,
    });
    await catalog.register({ Node: 'a', Address: '10.0.0.1', ID: holder, Check: { ...alive, Status: 'critical' } });
    await catalog.register({ Node: 'A', Address: '10.0.0.2', ID });
    expect(reads['catalog.nodes'].produce({})).toMatchObject([{ Node: 'A', ID }]);
  });

  it.each([
    [{ Node: 'a', Address: 'x', Service: { ID: 'only-id' } }, 'Must provide service name with ID'],
    [{ Node: 'a', Address: 'x', Service: { Service: 's', Address: '0.0.0.0' } }, 'Invalid service address'],
    [{ Node: 'a', Address: 'x', ID: `${'x'.repeat(36)}` }, 'Bad node ID: uuid is improperly formatted'],
    [
      { Node: 'a', Address: 'x', ID: 'g1234567-1234-1234-1234-123456789012' },
      "Bad node ID: encoding/hex: invalid byte: U+0067 'g'",
    ],
    [{ Node: 'a', Address: 'x', Check: { Node: 'b', Name: 'c' } }, 'check node "b" does not match node "a"'],
    [
      { Node: 'a', Address: 'x', Check: { Name: 'c', ServiceID: 'none' } },
      'failed inserting check: Missing service registration on node "a"',
    ],
  ] satisfies [RegisterRequest, string][])('refuses %j', async (request, message) => {
    await expect(catalog.register(request)).rejects.toMatchObject({ code: 'rejected', message });
    expect(store.revision).toBe(0);
  });

  it('leaves nothing behind when a node is deleted while services are registered on it', async () => {
    const service = fc.constantFrom('s1', 's2', 's3');
    const step = fc.oneof(
      service.map((name) => () => catalog.register(instance('a', name, { Check: { CheckID: name, ServiceID: name } }))),
      fc.constant(() => catalog.deregister({ Node: 'a' })),
      service.map((name) => () => catalog.deregister({ Node: 'a', ServiceID: name })),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(step, { minLength: 1, maxLength: 6 }), { maxLength: 5 }), async (rounds) => {
        for (const round of rounds) await Promise.all(round.map((run) => run()));
        const known = new Set(catalog.tables.nodes.list().map((row) => row.value.Node));
        for (const { value } of catalog.tables.services.list()) expect(known).toContain(value.Node);
        const services = new Set(catalog.tables.services.list().map((row) => row.value.ID));
        for (const { value } of catalog.tables.checks.list()) expect(services).toContain(value.ServiceID);
        await catalog.deregister({ Node: 'a' });
        expect(catalog.tables.services.size + catalog.tables.checks.size).toBe(0);
      }),
      { numRuns: 60 },
    );
  });
});
