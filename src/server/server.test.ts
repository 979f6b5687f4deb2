import { afterEach, describe, expect, it } from 'vitest';
import { FakeClock, settle } from '../../test/fakes/fake-clock.ts';
import { IsthmusError } from '../lib/errors.ts';
import type { ServerContract } from '../rpc/contract/contract.ts';
import { MemoryEngine } from '../store/memory/memory-engine.ts';
import { Store } from '../store/store.ts';
import type { Table } from '../store/table.ts';
import { noMetrics } from '../telemetry/types.ts';
import { liveRead, type ReadDefinitions, type WriteDefinitions } from './definitions.ts';
import { Server } from './server.ts';

interface Pair {
  readonly name: string;
  readonly value: string;
}

const stores: Store[] = [];

afterEach(async () => {
  for (const store of stores.splice(0)) await store.stop();
});

async function setup(options: { datacenter?: string; remote?: (datacenter: string) => ServerContract } = {}) {
  const clock = new FakeClock();
  const store = new Store({
    engine: new MemoryEngine(clock),
    clock,
    onError: (what, error) => {
      throw new Error(what, { cause: error });
    },
  });
  const table: Table<Pair> = store.table<Pair>({
    name: 'pairs',
    key: (pair) => pair.name,
    topics: (pair) => [`pair:${pair.name}`],
  });
  stores.push(store);
  await store.start(new AbortController().signal);
  let produced = 0;
  const replicated: [string, number][] = [];
  const reads = {
    'catalog.node': {
      topics: (args: { node: string }) => [`pair:${args.node}`],
      produce: (args: { node: string }) => {
        produced += 1;
        const row = table.get(args.node);
        if (row === undefined) throw new IsthmusError('not_found', 'no such pair');
        return row.value;
      },
    },
    'status.leader': liveRead(() => `leader of ${options.datacenter ?? 'dc1'}`),
  } as unknown as ReadDefinitions;
  const put = async (args: unknown): Promise<unknown> => {
    await store.transact((tx) => tx.put(table, args as Pair));
    return true;
  };
  const server = new Server({
    datacenter: options.datacenter ?? 'dc1',
    primaryDatacenter: 'dc1',
    store,
    reads,
    writes: {
      'catalog.register': put,
      'config.apply': put,
      'ca.rotate': put,
      'acl.setRole': put,
    } as unknown as WriteDefinitions,
    remote:
      options.remote ??
      (() => {
        throw new IsthmusError('no_path', 'No path to datacenter');
      }),
    replicated: async (kind, revision) => {
      replicated.push([kind, revision]);
    },
    clock,
    metrics: noMetrics,
    random: () => 0,
  });
  return { clock, store, table, server, replicated, produced: () => produced };
}

const signal = new AbortController().signal;
const register = (server: Server, name: string, value: string) =>
  server.write('catalog.register', { name, value } as never, { signal });

describe('reads', () => {
  it('shares one answer until its topic changes', async () => {
    const { server, produced } = await setup();
    await register(server, 'a', '1');
    const first = await server.read('catalog.node', { node: 'a' }, { signal });
    const second = await server.read('catalog.node', { node: 'a' }, { signal });
    expect(second).toBe(first);
    await register(server, 'b', '1');
    expect(await server.read('catalog.node', { node: 'a' }, { signal })).toBe(first);
    expect(produced()).toBe(1);
    await register(server, 'a', '2');
    const third = await server.read('catalog.node', { node: 'a' }, { signal });
    expect(third.value).toEqual({ name: 'a', value: '2' });
    expect(JSON.parse(third.json.toString())).toEqual(third.value);
    expect(third.index).toBeGreaterThan(first.index);
  });

  it('blocks until its own data changes, not when other data does', async () => {
    const { server } = await setup();
    await register(server, 'a', '1');
    const { index } = await server.read('catalog.node', { node: 'a' }, { signal });
    let woken = false;
    const blocked = server.read('catalog.node', { node: 'a' }, { signal, index }).then((result) => {
      woken = true;
      return result;
    });
    await register(server, 'b', '1');
    await settle();
    expect(woken).toBe(false);
    await register(server, 'a', '2');
    expect((await blocked).value).toEqual({ name: 'a', value: '2' });
  });

  it('answers with the same index when the wait is over', async () => {
    const { server, clock } = await setup();
    await register(server, 'a', '1');
    const { index } = await server.read('catalog.node', { node: 'a' }, { signal });
    const blocked = server.read('catalog.node', { node: 'a' }, { signal, index, waitMs: 5_000 });
    await clock.waitArmed();
    await clock.advance(5_000);
    expect((await blocked).index).toBe(index);
  });

  it('ends a blocked read when the caller goes away', async () => {
    const { server, store } = await setup();
    await register(server, 'a', '1');
    const caller = new AbortController();
    const { index } = await server.read('catalog.node', { node: 'a' }, { signal });
    const blocked = server.read('catalog.node', { node: 'a' }, { signal: caller.signal, index });
    await settle();
    caller.abort();
    await expect(blocked).rejects.toMatchObject({ code: 'cancelled' });
    expect(store.topics.waiting).toBe(0);
  });

  it('tells the index of something that does not exist, so that its creation can be waited for', async () => {
    const { server } = await setup();
    const absent = await server.read('catalog.node', { node: 'a' }, { signal }).catch((error: unknown) => error);
    expect(absent).toMatchObject({ code: 'not_found', details: { index: 1 } });
    const blocked = server.read('catalog.node', { node: 'a' }, { signal, index: 1 });
    await register(server, 'a', '1');
    expect((await blocked).value).toEqual({ name: 'a', value: '1' });
  });
});

describe('watches', () => {
  it('give the present answer, then each newer one', async () => {
    const { server } = await setup();
    await register(server, 'a', '1');
    const stop = new AbortController();
    const seen: unknown[] = [];
    const watching = (async () => {
      for await (const { value } of server.watch('catalog.node', { node: 'a' }, { signal: stop.signal })) {
        seen.push(value);
        if (seen.length === 2) stop.abort();
      }
    })();
    await settle();
    await register(server, 'a', '2');
    await expect(watching).rejects.toMatchObject({ code: 'cancelled' });
    expect(seen).toEqual([
      { name: 'a', value: '1' },
      { name: 'a', value: '2' },
    ]);
  });
});

describe('forwarding', () => {
  it('asks the datacenter that the request names, and says so when there is no path', async () => {
    const other = await setup({ datacenter: 'dc2' });
    const { server } = await setup({
      remote: (datacenter) => {
        if (datacenter === 'dc2') return other.server;
        throw new IsthmusError('no_path', 'No path to datacenter');
      },
    });
    expect((await server.read('status.leader', {}, { signal, datacenter: 'dc2' })).value).toBe('leader of dc2');
    expect((await server.read('status.leader', {}, { signal, datacenter: 'dc1' })).value).toBe('leader of dc1');
    await expect(server.read('status.leader', {}, { signal, datacenter: 'dc9' })).rejects.toMatchObject({
      code: 'no_path',
      message: 'No path to datacenter',
    });
  });

  it('lets the body of a registration name the datacenter', async () => {
    const other = await setup({ datacenter: 'dc2' });
    const { server, table } = await setup({ remote: () => other.server });
    await server.write('catalog.register', { Datacenter: 'dc2', name: 'a', value: '1' } as never, { signal });
    expect(other.table.size).toBe(1);
    expect(table.size).toBe(0);
  });

  it('lets the primary decide, and waits until the write is readable here', async () => {
    const primary = await setup();
    const secondary = await setup({ datacenter: 'dc2', remote: () => primary.server });
    const result = await secondary.server.write('config.apply', { name: 'a', value: '1' } as never, { signal });
    expect(primary.table.size).toBe(1);
    expect(secondary.table.size).toBe(0);
    expect(secondary.replicated).toEqual([['config-entries', result.revision]]);
  });
  it('waits for the table that a write arrives in, and for none when it arrives otherwise', async () => {
    const primary = await setup();
    const secondary = await setup({ datacenter: 'dc2', remote: () => primary.server });
    const args = { name: 'a', value: '1' } as never;
    await secondary.server.write('ca.rotate', args, { signal });
    expect(primary.table.size).toBe(1);
    expect(secondary.replicated).toEqual([]);
    await secondary.server.write('acl.setRole', args, { signal });
    expect(secondary.replicated.map(([kind]) => kind)).toEqual(['acl-roles']);
  });
});
