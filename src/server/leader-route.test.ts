import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeClock, settle } from '../../test/fakes/fake-clock.ts';
import { ServerProcess } from '../../test/fakes/server-process.ts';
import { createLeadership, type Leadership } from '../store/leadership.ts';
import { MemoryEngine } from '../store/memory/memory-engine.ts';
import { Store } from '../store/store.ts';
import { noLog, noMetrics } from '../telemetry/types.ts';
import type { ReadDefinitions, WriteDefinitions } from './definitions.ts';
import { LeaderRoute } from './leader-route.ts';
import { Server } from './server.ts';

const TTL_MS = 10_000;
const never = new AbortController().signal;

interface TestServer {
  readonly process: ServerProcess;
  readonly leadership: Leadership;
  readonly server: Server;
}

let clock: FakeClock;
let engine: MemoryEngine;
let servers: Map<string, TestServer>;
/** Servers that the others know to live. */
let known: Set<string>;
const ends: (() => Promise<void>)[] = [];

beforeEach(() => {
  clock = new FakeClock();
  engine = new MemoryEngine(clock);
  servers = new Map();
  known = new Set();
});

afterEach(async () => {
  await Promise.all(ends.splice(0).map((end) => end()));
});

async function start(name: string): Promise<TestServer> {
  const process = new ServerProcess(clock, engine);
  const store = new Store({ engine: process, clock: process, onError: () => undefined });
  const leadership = createLeadership(
    { store, clock: process, log: noLog, metrics: noMetrics, id: name, node: name, instance: name },
    { ttlMs: TTL_MS },
  );
  const leader = new LeaderRoute({
    leadership,
    store,
    self: name,
    contract: (id) => (known.has(id) ? servers.get(id)?.server : undefined),
    onServers: (listener) => store.onCommit(listener),
    clock: process,
  });
  const server = new Server({
    datacenter: 'dc1',
    primaryDatacenter: 'dc1',
    store,
    leader,
    reads: {
      'replication.status': { topics: () => [], produce: () => ({ by: name }) },
      'status.leader': { topics: () => [], produce: () => name },
    } as unknown as ReadDefinitions,
    writes: {
      'ca.rotate': async () => ({ NewRootID: name }),
      'catalog.register': async () => name,
    } as unknown as WriteDefinitions,
    remote: () => expect.fail('there is one datacenter'),
    replicated: async () => undefined,
    clock: process,
    metrics: noMetrics,
    random: () => 0,
  });
  await store.start(never);
  await leadership.service.start(never);
  const started = { process, leadership, server };
  servers.set(name, started);
  known.add(name);
  ends.push(async () => {
    await process.resume();
    await leadership.service.stop();
    await store.stop();
  });
  return started;
}

const rotate = ({ server }: TestServer): Promise<string> =>
  server.write('ca.rotate', {}, { signal: never }).then(({ value }) => value.NewRootID);

describe('what only the leader does', () => {
  it('is done by it, whichever server is asked', async () => {
    const [one, two] = [await start('one'), await start('two')];
    expect(await rotate(one)).toBe('one');
    expect(await rotate(two)).toBe('one');
    expect((await two.server.read('replication.status', {}, { signal: never })).value).toEqual({ by: 'one' });
    expect((await two.server.read('status.leader', {}, { signal: never })).value).toBe('two'); // anybody knows that
    expect((await two.server.write('catalog.register', {} as never, { signal: never })).value).toBe('two');
  });

  it('waits while no server leads, and goes to the next leader', async () => {
    const one = await start('one');
    const two = await start('two');
    const three = await start('three');
    await one.leadership.service.stop();
    known.delete('one');
    await settle();
    const next = two.leadership.leading ? 'two' : 'three';
    expect(await rotate(two)).toBe(next);
    expect(await rotate(three)).toBe(next);
  });

  it('is refused in the end when no server leads, with Consul’s words', async () => {
    const one = await start('one');
    const two = await start('two');
    one.process.pause(); // its lease lives, but nobody can ask it: it is not known to live
    known.delete('one');
    const refused = expect(rotate(two)).rejects.toMatchObject({ code: 'unavailable', message: 'No cluster leader' });
    await clock.advance(7_000);
    await refused;
    await clock.advance(TTL_MS);
    expect(await rotate(two)).toBe('two');
  });

  it('is not sent to and fro by a server that takes an earlier leader for the present one', async () => {
    const one = await start('one');
    const two = await start('two');
    two.process.lag(); // it goes on believing that `one` leads
    await one.leadership.service.stop();
    const asked = rotate(two);
    await settle();
    two.process.catchUp();
    await settle();
    expect(await asked).toBe('two');
  });
});
