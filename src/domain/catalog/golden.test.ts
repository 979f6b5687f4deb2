import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Recording, recordings } from '../../../test/fakes/golden.ts';
import { memoryStore } from '../../../test/fakes/memory-store.ts';
import { IsthmusError } from '../../lib/errors.ts';
import type { DeregisterRequest, RegisterRequest } from '../../model/catalog.ts';
import type { HealthServiceArgs } from '../../model/requests.ts';
import { type Catalog, createCatalog } from './catalog.ts';

const SIGNAL = new AbortController().signal;

/** What the server registers about itself in the recordings. */
const SERVER: RegisterRequest = {
  ID: 'e469ff2b-1972-df40-b7c2-177c8515ac4a',
  Node: 'dc1-s1',
  Address: '127.0.0.1',
  TaggedAddresses: { lan: '127.0.0.1', lan_ipv4: '127.0.0.1', wan: '127.0.0.1', wan_ipv4: '127.0.0.1' },
  NodeMeta: { 'consul-network-segment': '' },
  Service: {
    ID: 'consul',
    Service: 'consul',
    Port: 20102,
    Meta: {
      non_voter: 'false',
      raft_version: '3',
      read_replica: 'false',
      serf_protocol_current: '2',
      serf_protocol_max: '5',
      serf_protocol_min: '1',
      version: '1.9.8',
    },
  },
  Check: {
    CheckID: 'serfHealth',
    Name: 'Serf Health Status',
    Status: 'passing',
    Output: 'Agent alive and reachable',
  },
};

/** Drops what differs from run to run. */
function stable(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(stable);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([name]) => name !== 'CreateIndex' && name !== 'ModifyIndex')
      .map(([name, entry]) => [name, stable(entry)]),
  );
}

function read({ reads }: Catalog, path: string): unknown {
  const url = new URL(path, 'http://x');
  const [, , area = '', what = '', name = ''] = url.pathname.split('/');
  const query = url.searchParams;
  const list = {
    ...(query.get('filter') === null ? {} : { filter: query.get('filter') ?? '' }),
    ...(query.get('node-meta') === null ? {} : { nodeMeta: { rack: 'a' } }),
  };
  const service: HealthServiceArgs = {
    ...list,
    service: name,
    ...(query.get('tag') === null ? {} : { tags: [query.get('tag') ?? ''] }),
    ...(what === 'connect' ? { connect: true } : {}),
    ...(query.has('passing') ? { passing: true } : {}),
  };
  switch (`${area}/${what}`) {
    case 'catalog/nodes':
      return reads['catalog.nodes'].produce(list);
    case 'catalog/services':
      return reads['catalog.services'].produce(list);
    case 'catalog/service':
    case 'catalog/connect':
      return reads['catalog.service'].produce(service);
    case 'catalog/node':
      return reads['catalog.node'].produce({ node: name });
    case 'catalog/node-services':
      return reads['catalog.nodeServices'].produce({ node: name });
    case 'health/node':
      return reads['health.node'].produce({ node: name });
    case 'health/checks':
      return reads['health.checks'].produce({ service: name });
    case 'health/service':
    case 'health/connect':
      return reads['health.service'].produce(service);
    case 'health/state':
      return reads['health.state'].produce({ state: name });
    case 'internal/ui':
      return name === 'services' ? reads['internal.uiServices'].produce(list) : reads['internal.uiNodes'].produce(list);
    default:
      return undefined;
  }
}

/** What the HTTP edge answers on its own, or what other domains do. */
function isElsewhere({ request, response }: Recording): boolean {
  return (
    response.status === 400 ||
    request.path.startsWith('/v1/discovery-chain') ||
    request.path.includes('service-topology')
  );
}

describe('recorded answers', () => {
  const datacenters = new Map<string, { catalog: Catalog; stop: () => Promise<void> }>();

  beforeAll(async () => {
    for (const datacenter of ['dc1', 'dc2']) {
      const store = memoryStore();
      const catalog = createCatalog({ store, datacenter });
      await store.start(SIGNAL);
      datacenters.set(datacenter, { catalog, stop: () => store.stop() });
    }
    await datacenters.get('dc1')?.catalog.register(SERVER);
  });
  afterAll(async () => {
    for (const { stop } of datacenters.values()) await stop();
  });

  for (const recording of recordings('catalog-and-health.json')) {
    if (isElsewhere(recording)) continue;
    const { request, response } = recording;
    it(`${request.method} ${request.path} ${JSON.stringify(request.body ?? '').slice(0, 60)}`, async () => {
      const datacenter = new URL(request.path, 'http://x').searchParams.get('dc') ?? recording.dc;
      const { catalog } = datacenters.get(datacenter) as { catalog: Catalog };
      let status = 200;
      let body: unknown;
      try {
        if (request.path.startsWith('/v1/catalog/register'))
          body = await catalog.register(request.body as RegisterRequest);
        else if (request.path.startsWith('/v1/catalog/deregister'))
          body = await catalog.deregister(request.body as DeregisterRequest);
        else body = read(catalog, request.path);
      } catch (error) {
        expect(IsthmusError.from(error).code).toBe('rejected');
        status = 500;
        body = IsthmusError.from(error).message;
      }
      expect(status).toBe(response.status);
      // Through JSON, as the edge sends it: what is undefined is not there.
      expect(stable(JSON.parse(JSON.stringify(body)))).toEqual(stable(response.body));
    });
  }
});
