import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeClock, settle } from '../../test/fakes/fake-clock.ts';
import { ServerProcess } from '../../test/fakes/server-process.ts';
import { IsthmusError } from '../lib/errors.ts';
import type { ReadOptions } from '../rpc/contract/contract.ts';
import { MemoryEngine } from '../store/memory/memory-engine.ts';
import { Store } from '../store/store.ts';
import { noMetrics } from '../telemetry/types.ts';
import type { ReadDefinitions, WriteDefinitions } from './definitions.ts';
import { Server } from './server.ts';

interface Pair {
  readonly name: string;
  readonly value: string;
}

const never = new AbortController().signal;
let clock: FakeClock;
let engine: MemoryEngine;
const ends: (() => Promise<void>)[] = [];

beforeEach(async () => {
  clock = new FakeClock();
  engine = new MemoryEngine(clock);
  await engine.txn({ compare: [], ops: [{ type: 'put', key: 'other/row', value: '1' }] }); // index 1 stands for nothing
});

afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

/** A server of one register for each name. */
async function startServer() {
  const process = new ServerProcess(clock, engine);
  const store = new Store({ engine: process, clock, onError: () => undefined });
  const pairs = store.table<Pair>({ name: 'pairs', key: ({ name }) => name, topics: ({ name }) => [`pair:${name}`] });
  const reads = {
    'catalog.node': {
      topics: ({ node }: { node: string }) => [`pair:${node}`],
      produce({ node }: { node: string }) {
        if (node === 'missing') throw new IsthmusError('not_found', 'it is not there');
        return pairs.get(node)?.value.value ?? '';
      },
    },
  } as unknown as ReadDefinitions;
  const writes = {
    'catalog.register': async (pair: Pair) => (await store.transact((tx) => tx.put(pairs, pair))).changed,
    'catalog.deregister': async ({ name }: Pair) =>
      (
        await store.transact((tx) => {
          if (tx.get(pairs, name) !== undefined) tx.delete(pairs, name);
        })
      ).changed,
  } as unknown as WriteDefinitions;
  const server = new Server({
    datacenter: 'dc1',
    primaryDatacenter: 'dc1',
    store,
    reads,
    writes,
    remote: () => expect.fail('there is one datacenter'),
    replicated: async () => undefined,
    clock,
    metrics: noMetrics,
    random: () => 0,
  });
  await store.start(never);
  ends.push(async () => {
    process.heal();
    process.catchUp();
    await store.stop();
  });
  return {
    process,
    store,
    write: (name: string, value: string) =>
      server.write('catalog.register', { name, value } as never, { signal: never }),
    remove: (name: string) => server.write('catalog.deregister', { name } as never, { signal: never }),
    read: (name: string, options: Partial<ReadOptions> = {}) =>
      server.read('catalog.node', { node: name }, { signal: never, ...options }),
  };
}

describe('a read on another server than the write', () => {
  it('that asks for it sees whatever was acknowledged before, and waits for its view', async () => {
    const [one, two] = [await startServer(), await startServer()];
    two.process.lag();
    await one.write('a', 'new');
    expect((await two.read('a')).value).toBe('');
    const consistent = two.read('a', { consistency: 'consistent' });
    await settle();
    two.process.catchUp();
    expect((await consistent).value).toBe('new');
  });

  it('never goes back behind an index that the client has seen', async () => {
    const [one, two] = [await startServer(), await startServer()];
    await one.write('a', 'old');
    two.process.lag();
    await one.write('a', 'new');
    const { index } = await one.read('a');
    const asked = two.read('a', { index: index - 1, waitMs: 60_000 });
    const later = two.read('a', { index, waitMs: 60_000 });
    await settle();
    two.process.catchUp();
    expect(await asked).toMatchObject({ value: 'new', index });
    await clock.advance(70_000);
    expect(await later).toMatchObject({ value: 'new', index });
  });

  it('keeps the index of a server that knows the same data since later', async () => {
    const one = await startServer();
    await one.write('a', 'same');
    await one.write('b', 'other');
    const two = await startServer(); // all it knows is as of its start
    const { index } = await two.read('a');
    expect((await one.read('a')).index).toBeLessThan(index);
    const waited = one.read('a', { index, waitMs: 1_000 });
    await clock.advance(2_000);
    expect(await waited).toMatchObject({ value: 'same', index });
  });

  it('keeps it for what is not there, too', async () => {
    const one = await startServer();
    await one.write('b', 'other');
    const two = await startServer();
    await two.write('b', 'newer');
    const waited = two.read('missing', { index: two.store.revision, waitMs: 1_000 });
    const failed = expect(waited).rejects.toMatchObject({ details: { index: two.store.revision } });
    await clock.advance(2_000);
    await failed;
  });

  it('does not wait for an index that no server has reached', async () => {
    const one = await startServer();
    await one.write('a', 'b');
    const waited = one.read('a', { index: 1_000_000, waitMs: 1_000 });
    await clock.advance(2_000);
    expect((await waited).index).toBe(one.store.revision);
  });
});

describe('a server that has lost the store', () => {
  it('says so with what it still knows, and refuses what must be certain', async () => {
    const one = await startServer();
    await one.write('a', 'b');
    expect(await one.read('a')).toMatchObject({ knownLeader: true, lastContactMs: 0 });
    one.process.cutOff();
    expect(await one.read('a')).toMatchObject({ value: 'b', knownLeader: false });
    await expect(one.read('a', { consistency: 'consistent' })).rejects.toMatchObject({ code: 'unavailable' });
    await expect(one.write('a', 'c')).rejects.toMatchObject({ code: 'unavailable' });
    const newer = one.store.revision + 1; // as seen on another server
    await expect(one.read('a', { index: newer, waitMs: 1 })).rejects.toMatchObject({ code: 'unavailable' });
    const stale = one.read('a', { index: newer, waitMs: 1, consistency: 'stale' });
    await clock.advance(1);
    expect((await stale).value).toBe('b');
    one.process.heal();
    expect(await one.read('a', { consistency: 'consistent' })).toMatchObject({ value: 'b', knownLeader: true });
  });
});

describe('a write that finds nothing to do', () => {
  it('is decided on what others have written, not on an old view', async () => {
    const [one, two] = [await startServer(), await startServer()];
    two.process.lag();
    await one.write('a', 'b');
    const removed = two.remove('a');
    await settle();
    two.process.catchUp();
    expect((await removed).value).toBe(true);
    expect((await one.read('a', { consistency: 'consistent' })).value).toBe('');
  });
});
