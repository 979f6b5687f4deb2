import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { LocalState } from '../../src/agent/local/types.ts';
import { createCatalog } from '../../src/domain/catalog/catalog.ts';
import { createEntries } from '../../src/domain/entries/entries.ts';
import { createIntentions } from '../../src/domain/intentions/intentions.ts';
import type { AgentParts } from '../../src/edge/http/agent-parts.ts';
import { Query } from '../../src/edge/http/query.ts';
import type { ApiRequest, Route } from '../../src/edge/http/route.ts';
import { agentCheckRoutes } from '../../src/edge/http/routes/agent-checks.ts';
import { agentServiceRoutes } from '../../src/edge/http/routes/agent-services.ts';
import { apiRoutes } from '../../src/edge/http/routes/all.ts';
import { envoyRoutes } from '../../src/edge/http/routes/envoys.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { TENANCY_PARAMETERS } from '../../src/model/tenancy.ts';
import type { ServerContract } from '../../src/rpc/contract/contract.ts';
import { makeResult } from '../../src/rpc/contract/result.ts';
import type { SnapshotContract } from '../../src/rpc/contract/snapshots.ts';
import type { Read } from '../../src/store/read.ts';
import type { Store } from '../../src/store/store.ts';
import { memoryStore } from '../fakes/memory-store.ts';

/**
 * Of every endpoint, see the reference's introduction; `cached` is looked at by all reads, to refuse it beside others.
 */
const COMMON = new Set(['pretty', 'token', 'cached', ...TENANCY_PARAMETERS.keys()]);

/** Values that are understood, where a single letter would not be. */
const VALUES: Readonly<Record<string, string>> = {
  filter: 'Node == a',
  'node-meta': 'a:b',
  index: '3',
  wait: '1s',
  by: 'source',
  passing: '1',
  connect: 'true',
  cas: '1',
  flags: '1',
  limit: '1',
  enable: 'true',
  force: 'true',
};

/** Stands for what is not asked: every property of it and every answer it gives is itself. */
const nothing: never = new Proxy(() => undefined, {
  get: (_target, name) => (name === 'then' || typeof name === 'symbol' ? undefined : nothing),
  apply: () => nothing,
}) as never;

class RecordingQuery extends Query {
  readonly asked = new Set<string>();
  override get(name: string): string | undefined {
    this.asked.add(name);
    return super.get(name);
  }
  override has(name: string): boolean {
    this.asked.add(name);
    return super.has(name);
  }
  override all(name: string): readonly string[] {
    this.asked.add(name);
    return super.all(name);
  }
}

interface Asked {
  readonly name: string;
  readonly args: Readonly<Record<string, unknown>>;
}

/** Enough of an answer for its route to go on. */
function answerTo(name: string): unknown {
  if (name.startsWith('kv.')) return [{ Key: 'x', Value: null, Flags: 0 }];
  return name.startsWith('txn.') ? { Results: [], Errors: null } : { Roots: [] };
}

const asked: Asked[] = [];
const ask = async (name: string, args: unknown): Promise<unknown> => {
  asked.push({ name, args: args as Asked['args'] });
  return makeResult<unknown>({ index: 1, value: answerTo(name) });
};
const contract = { read: ask, write: ask, watch: nothing } as unknown as ServerContract;
const shared = { contract, datacenter: 'dc1', clock: systemClock };
const agent = new Proxy({ nodeName: 'n1' }, { get: (known, name) => Reflect.get(known, name) ?? nothing });
const health = { AggregatedStatus: 'passing', Service: null, Checks: [] };
const known = { healthById: () => health, healthByName: () => [health] };
const local = new Proxy(known, { get: (own, name) => Reflect.get(own, name) ?? nothing }) as unknown as LocalState;
const routes: readonly Route[] = [
  ...apiRoutes({ ...shared, agent: agent as unknown as AgentParts, snapshots: nothing as SnapshotContract }),
  ...agentServiceRoutes({ local, datacenter: 'dc1' }),
  ...agentCheckRoutes({ local }),
  ...envoyRoutes({ envoys: () => [] }),
];

/** None, all that may stand together, and each alone. */
function sets(names: readonly string[]): readonly (readonly string[])[] {
  return [[], names.filter((name) => name !== 'consistent' && name !== 'cached'), ...names.map((name) => [name])];
}

/** What the agent answers itself reads its waiting with the same code as what servers answer. */
function isShared({ path }: Route, name: string): boolean {
  const byAgent = path.startsWith('/v1/agent/') || path === '/v1/event/list';
  return byAgent && ['dc', 'index', 'stale', 'consistent'].includes(name);
}

/** Asks a route and tells which parameters it looked at. */
async function run(route: Route, names: readonly string[]): Promise<ReadonlySet<string>> {
  const query = new RecordingQuery(names.map((name) => `${name}=${VALUES[name] ?? 'x'}`).join('&'));
  const params = Object.fromEntries([...route.path.matchAll(/[:*](\w+)/g)].map(([, name = '']) => [name, 'x']));
  const { signal } = new AbortController();
  const request: ApiRequest = {
    method: route.method,
    path: route.path,
    params,
    query,
    token: undefined,
    signal,
    body: Buffer.from(route.path === '/v1/txn' ? '[]' : '{}'),
    bodyStream: nothing,
    remoteAddress: '127.0.0.1',
    header: () => undefined,
  };
  try {
    await route.handle(request);
  } catch {
    // what it takes of what it is asked shows all the same
  }
  return query.asked;
}

it('every route looks at the parameters that the reference names for it, and at no others', async () => {
  const faults: string[] = [];
  for (const route of routes) {
    const named = new Set((route.query ?? []).flatMap(({ name, effect }) => (effect === 'none' ? [] : [name])));
    const seen = new Set<string>();
    for (const names of sets([...named])) for (const name of await run(route, names)) seen.add(name);
    for (const name of named) if (!seen.has(name)) faults.push(`${route.method} ${route.path} ignores ${name}`);
    for (const name of seen)
      if (!named.has(name) && !COMMON.has(name) && !isShared(route, name))
        faults.push(`${route.method} ${route.path} hides ${name}`);
  }
  expect(faults).toEqual([]);
});

describe('what a route asks a server for', () => {
  let store: Store;
  let reads: Readonly<Record<string, Read<never, unknown>>>;

  beforeAll(async () => {
    store = memoryStore();
    const catalog = createCatalog({ store, datacenter: 'dc1' });
    const entries = createEntries({ store, datacenter: 'dc1', trustDomain: () => 'x.consul' });
    const deps = { store, entries: entries.intentionEntries, datacenter: 'dc1', clock: systemClock } as const;
    const intentions = createIntentions({ ...deps, defaultPolicy: 'allow' });
    reads = { ...catalog.reads, ...entries.reads, ...intentions.reads } as typeof reads;
    await store.start(new AbortController().signal);
    await catalog.register({
      Node: 'x',
      Address: '127.0.0.1',
      NodeMeta: { a: 'b' },
      Service: { Service: 'x', Tags: ['x'], Connect: { Native: true } },
    });
  });
  afterAll(() => store.stop());

  it('is looked at by the domain that answers: no condition is dropped on the way', async () => {
    const dropped: string[] = [];
    let checked = 0;
    for (const route of routes) {
      if (route.method !== 'GET') continue;
      const own = (route.query ?? []).map(({ name }) => name).filter((name) => name !== 'index');
      for (const names of sets(own)) {
        asked.length = 0;
        await run(route, names);
        for (const { name, args } of asked) {
          const read = reads[name];
          if (read === undefined) continue;
          checked += 1;
          const looked = new Set<string>();
          const watched = new Proxy(args, {
            get(target, key) {
              looked.add(String(key));
              return Reflect.get(target, key);
            },
          });
          try {
            read.produce(watched as never);
          } catch {
            // the store is empty, and not every filter fits
          }
          for (const key of Object.keys(args)) if (!looked.has(key)) dropped.push(`${route.path}: ${key} of ${name}`);
        }
      }
    }
    expect([...new Set(dropped)]).toEqual([]);
    expect(checked).toBeGreaterThan(50);
  });
});
