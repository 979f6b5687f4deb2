import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeClock, settle } from '../../test/fakes/fake-clock.ts';
import { ServerProcess } from '../../test/fakes/server-process.ts';
import { seeded } from '../../test/harness/random.ts';
import { sleep } from '../lib/signals.ts';
import { noLog, noMetrics } from '../telemetry/types.ts';
import type { Engine, RestoredRow, Txn } from './engine.ts';
import { createLeadership, type Leadership } from './leadership.ts';
import { MemoryEngine } from './memory/memory-engine.ts';
import { Store } from './store.ts';
import type { Table } from './table.ts';

const TTL_MS = 10_000;
const never = new AbortController().signal;

interface Counted {
  readonly id: string;
  readonly count: number;
}

interface TestServer {
  readonly name: string;
  readonly process: ServerProcess;
  readonly store: Store;
  readonly leadership: Leadership;
  readonly counters: Table<Counted>;
  /** How often its duty was begun, and whether it runs. */
  readonly duty: { begun: number; running: boolean };
  add(): Promise<void>;
  stop(): Promise<void>;
}

let clock: FakeClock;
let engine: Engine;
let servers: TestServer[];

async function start(name: string, id = `id-of-${name}`): Promise<TestServer> {
  const process = new ServerProcess(clock, engine);
  const store = new Store({ engine: process, clock: process, onError: () => undefined });
  const counters = store.table<Counted>({ name: 'counters', key: (row) => row.id });
  const leadership = createLeadership(
    { store, clock: process, log: noLog, metrics: noMetrics, id, node: name, instance: `run-of-${name}` },
    { ttlMs: TTL_MS },
  );
  const duty = { begun: 0, running: false };
  leadership.duty('work', (tasks) =>
    tasks.run('work', async (signal) => {
      duty.begun += 1;
      duty.running = true;
      await sleep(process, 1e9, signal).catch(() => undefined);
      duty.running = false;
    }),
  );
  await store.start(never);
  await leadership.service.start(never);
  const server: TestServer = {
    name,
    process,
    store,
    leadership,
    counters,
    duty,
    add: async () =>
      void (await leadership.fenced.transact((tx) => {
        tx.put(counters, { id: 'n', count: (tx.get(counters, 'n')?.count ?? 0) + 1 });
      })),
    stop: async () => {
      process.heal();
      await process.resume();
      await leadership.service.stop();
      await store.stop();
    },
  };
  servers.push(server);
  return server;
}

beforeEach(() => {
  clock = new FakeClock();
  engine = new MemoryEngine(clock);
  servers = [];
});

afterEach(async () => {
  const stopping = Promise.all(servers.map((server) => server.stop()));
  await clock.advance(60_000);
  await stopping;
  await engine.close();
});

const leaders = (): string[] => servers.filter(({ leadership }) => leadership.leading).map(({ name }) => name);

describe('leadership', () => {
  it('is had at once by the first server, and goes to another as soon as it is given up', async () => {
    const one = await start('one');
    expect(one.leadership.leading).toBe(true);
    expect(one.leadership.leader()).toMatchObject({ id: 'id-of-one', node: 'one', since: clock.now() });
    expect(one.duty).toEqual({ begun: 1, running: true });
    const two = await start('two');
    expect(two.leadership.state).toBe('following');
    expect(two.leadership.leader()?.node).toBe('one');
    expect(two.duty.begun).toBe(0);

    await one.leadership.service.stop();
    await settle();
    expect(one.duty.running).toBe(false);
    expect(leaders()).toEqual(['two']);
    expect(two.duty).toEqual({ begun: 1, running: true });
  });

  it('is handed over when it is asked to, to another server, and comes back when there is no other', async () => {
    const one = await start('one');
    const two = await start('two');
    const handedOver = one.leadership.handOver();
    await settle();
    await handedOver;
    expect(leaders()).toEqual(['two']);
    expect(one.duty.running).toBe(false);
    await expect(one.leadership.handOver()).rejects.toMatchObject({ code: 'unavailable' });
    await one.stop();
    servers.splice(0, 1);
    const alone = two.leadership.handOver();
    await settle();
    await alone;
    expect(leaders()).toEqual([]);
    await clock.advance(TTL_MS);
    expect(leaders()).toEqual(['two']);
    await two.add();
  });

  it('writes nothing while it is held', async () => {
    const one = await start('one');
    const before = one.store.revision;
    await clock.advance(10 * TTL_MS);
    expect(one.leadership.leading).toBe(true);
    expect(one.store.revision).toBe(before);
  });

  it('goes to another within the lease when the leader dies, and once more when that one does', async () => {
    const one = await start('one');
    const two = await start('two');
    one.process.pause();
    await clock.advance(TTL_MS - 1);
    expect(two.leadership.leading).toBe(false);
    await clock.advance(1);
    expect(two.leadership.leading).toBe(true);
    const three = await start('three');
    two.process.pause();
    await clock.advance(TTL_MS);
    expect(three.leadership.leading).toBe(true);
  });

  it('comes back at once to a server that was started again, whose lease still lives', async () => {
    const one = await start('one');
    one.process.pause(); // as good as dead
    const again = await start('one again', 'id-of-one');
    expect(again.leadership.leading).toBe(true);
    await one.process.resume();
    await settle();
    expect(one.leadership.leading).toBe(false);
    expect(again.leadership.leading).toBe(true);
  });

  it('lets a leader that was paused past its lease write nothing, whatever it had begun', async () => {
    const one = await start('one');
    const two = await start('two');
    one.process.pause();
    // Decided as the leader, and sent when it wakes up.
    const late = expect(one.add()).rejects.toMatchObject({ code: 'unavailable' });
    await clock.advance(TTL_MS);
    expect(two.leadership.leading).toBe(true);
    expect(one.leadership.leading).toBe(true); // it can't know yet
    const revision = two.store.revision;
    await one.process.resume();
    await late;
    await settle();
    expect(one.leadership.leading).toBe(false);
    expect(one.duty.running).toBe(false);
    expect(two.store.revision).toBe(revision);
    await two.add();
    expect(one.counters.get('n')?.value.count).toBe(1);
  });

  it('is given up by a leader that is cut off before another can have it, and had again after', async () => {
    const one = await start('one');
    one.process.cutOff();
    await clock.advance(TTL_MS);
    expect(one.leadership.leading).toBe(false);
    await expect(one.add()).rejects.toMatchObject({ code: 'unavailable' });
    one.process.heal();
    await clock.advance(TTL_MS);
    expect(one.leadership.leading).toBe(true);
    expect(one.duty).toEqual({ begun: 2, running: true });
  });

  it('is had again after a restore took everything away, by one server', async () => {
    const one = await start('one');
    const two = await start('two');
    await one.add();
    const before = one.leadership.leader()?.term ?? 0;
    async function* nothing(): AsyncGenerator<readonly RestoredRow[]> {
      yield [];
    }
    await engine.restore(nothing(), { above: await engine.currentRevision() });
    await clock.advance(TTL_MS);
    expect(leaders()).toHaveLength(1);
    expect(two.leadership.leader()).toEqual(one.leadership.leader());
    expect(one.leadership.leader()?.term).toBeGreaterThan(before);
    const [leader] = servers.filter(({ leadership }) => leadership.leading) as [TestServer];
    await leader.add();
    expect(two.counters.get('n')?.value.count).toBe(1);
  });

  it('stays with its holder while the wall clock jumps', async () => {
    const one = await start('one');
    const before = one.leadership.leader();
    for (const jump of [3_600_000, -7_200_000]) {
      one.process.jump(jump);
      await clock.advance(3 * TTL_MS);
      expect(one.leadership.leader()).toEqual(before);
    }
  });
});

describe('1,000 changes of the leader at random moments', () => {
  it('never let two act at once', async () => {
    const random = seeded();
    const told = `seed ${random.seed}`;
    for (const name of ['one', 'two', 'three']) await start(name);
    /** Acts that the engine took, by server, with the revision of the leader's row at that moment. */
    const acts: { readonly server: string; readonly fence: number }[] = [];
    let refused = 0;
    const fenceOf = ({ compare }: Txn): number =>
      compare.find(({ key }) => key.startsWith('leadership/'))?.modRevision ?? -1;
    for (const { process, name } of servers)
      process.onTxn = (txn, { succeeded }) => {
        if (!txn.ops.some(({ key }) => key.startsWith('counters/'))) return;
        if (succeeded) acts.push({ server: name, fence: fenceOf(txn) });
        else refused += 1;
      };
    let changes = 0;
    let last = '';
    let acknowledged = 0;
    const waiting: Promise<void>[] = [];
    const act = (server: TestServer): void => {
      waiting.push(
        server.add().then(
          () => {
            acknowledged += 1;
          },
          () => undefined,
        ),
      );
    };
    while (changes < 1_000) {
      const victim = random.pick(servers);
      for (const server of servers) act(server);
      if (victim.process.paused) await victim.process.resume();
      else if (random.next() < 0.8) victim.process.pause();
      else {
        victim.process.cutOff();
        await clock.advance(random.next() * 2 * TTL_MS);
        victim.process.heal();
      }
      act(victim);
      await clock.advance(random.next() * 1.5 * TTL_MS);
      if (servers.every(({ process }) => process.paused)) await random.pick(servers).process.resume();
      const rows = (await engine.range({ prefix: 'leadership/' })).rows;
      const holder = rows[0]?.value ?? '';
      if (holder !== last && holder !== '') changes += 1;
      last = holder === '' ? last : holder;
    }
    for (const { process } of servers) await process.resume();
    await clock.advance(3 * TTL_MS);
    await Promise.all(waiting);

    // Each leader's row has one writer, and acts under one fence are never interleaved with those under another.
    const writers = new Map<number, string>();
    let newest = 0;
    for (const { server, fence } of acts) {
      expect(fence, told).toBeGreaterThanOrEqual(newest);
      newest = fence;
      expect(writers.get(fence) ?? server, told).toBe(server);
      writers.set(fence, server);
    }
    const count = servers[0]?.counters.get('n')?.value.count ?? 0;
    expect(count, told).toBe(acts.length);
    expect(acknowledged, told).toBeLessThanOrEqual(acts.length);
    expect(acts.length, told).toBeGreaterThan(500);
    expect(refused, told).toBeGreaterThan(0); // some did wake up too late
    expect(leaders(), told).toHaveLength(1);
  }, 60_000);
});
