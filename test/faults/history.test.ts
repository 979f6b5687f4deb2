import { describe, expect, it } from 'vitest';
import type { ReadOptions } from '../../src/rpc/contract/contract.ts';
import type { ReadDefinitions, WriteDefinitions } from '../../src/server/definitions.ts';
import { Server } from '../../src/server/server.ts';
import { MemoryEngine } from '../../src/store/memory/memory-engine.ts';
import { Store } from '../../src/store/store.ts';
import type { Stored } from '../../src/store/table.ts';
import { noMetrics } from '../../src/telemetry/types.ts';
import { FakeClock } from '../fakes/fake-clock.ts';
import { ServerProcess } from '../fakes/server-process.ts';
import { type Found, History, type Registers } from '../harness/history.ts';
import { notLinearizable } from '../harness/linearizable.ts';
import { seeded } from '../harness/random.ts';

interface Row {
  readonly name: string;
  readonly value: string;
}

const CLIENTS = 6;
const STEPS = 150;
const NAMES = ['a', 'b', 'c', 'd'];
const never = new AbortController().signal;

/** A server whose entries are registers. */
async function startServer(clock: FakeClock, engine: MemoryEngine) {
  const process = new ServerProcess(clock, engine);
  const store = new Store({ engine: process, clock, onError: () => undefined });
  const rows = store.table<Row>({ name: 'rows', key: ({ name }) => name, topics: ({ name }) => [`row:${name}`] });
  const server = new Server({
    datacenter: 'dc1',
    primaryDatacenter: 'dc1',
    store,
    reads: {
      'config.get': {
        topics: ({ name }: { name: string }) => [`row:${name}`],
        produce: ({ name }: { name: string }) => rows.get(name) ?? null,
      },
    } as unknown as ReadDefinitions,
    writes: {
      'config.apply': async ({ entry, cas }: { entry: Row; cas?: number }) => {
        const { result } = await store.transact((tx) => {
          if (cas !== undefined && (tx.row(rows, entry.name)?.modRevision ?? 0) !== cas) return false;
          tx.put(rows, entry);
          return true;
        });
        return result;
      },
      'config.delete': async ({ name }: { name: string }) => {
        await store.transact((tx) => {
          if (tx.get(rows, name) !== undefined) tx.delete(rows, name);
        });
        return {};
      },
    } as unknown as WriteDefinitions,
    remote: () => expect.fail('there is one datacenter'),
    replicated: async () => undefined,
    clock,
    metrics: noMetrics,
    random: () => 0,
  });
  await store.start(never);
  return { process, server, store };
}

type TestServer = Awaited<ReturnType<typeof startServer>>;

/** A client's way to a server; its index goes with it from server to server. */
function registersAt({ server }: TestServer, index: { newest: number }): Registers {
  const get = async (name: string, options: Partial<ReadOptions>): Promise<Found> => {
    const answer = await server.read('config.get', { kind: 'k', name }, { signal: never, ...options });
    index.newest = Math.max(index.newest, answer.index);
    const row = answer.value as unknown as Stored<Row> | null;
    return row === null ? { value: null, version: 0 } : { value: row.value.value, version: row.modRevision };
  };
  return {
    read: (name) => get(name, { consistency: 'consistent' }),
    // A deleted register has no version: what the client compares is the answer's index then.
    async readDefault(name) {
      const found = await get(name, { index: index.newest, waitMs: 1 });
      return found.value === null ? { ...found, version: index.newest } : found;
    },
    async write(name, value) {
      if (value === null) await server.write('config.delete', { kind: 'k', name }, { signal: never });
      else await server.write('config.apply', { entry: { name, value } }, { signal: never });
    },
    compareAndSet: async (name, cas, value) =>
      (await server.write('config.apply', { entry: { name, value }, cas }, { signal: never })).value,
  };
}

describe('a random history over three servers that lag, are paused and cut off', () => {
  it('is linearizable for consistent reads and writes, and never goes back for default reads', async () => {
    const random = seeded();
    const told = `seed ${random.seed}`;
    const clock = new FakeClock();
    const engine = new MemoryEngine(clock);
    await engine.txn({ compare: [], ops: [{ type: 'put', key: 'other/row', value: '1' }] });
    const servers = [
      await startServer(clock, engine),
      await startServer(clock, engine),
      await startServer(clock, engine),
    ];
    const history = new History();
    let running = CLIENTS;
    const clients = Array.from({ length: CLIENTS }, (_, number) => {
      const index = { newest: 1 };
      return history
        .runClient(`client-${number}`, random, STEPS, NAMES, () => registersAt(random.pick(servers), index))
        .finally(() => {
          running -= 1;
        });
    });
    while (running > 0) {
      const { process } = random.pick(servers);
      const dice = random.next();
      if (dice < 0.2) process.lag();
      else if (dice < 0.3) process.pause();
      else if (dice < 0.4) process.cutOff();
      else {
        process.catchUp();
        process.heal();
        await process.resume();
      }
      await clock.advance(random.next() * 500);
    }
    await Promise.all(clients);
    for (const { process, store } of servers) {
      process.catchUp();
      process.heal();
      await process.resume();
      await store.stop();
    }
    expect(history.wentBack, told).toEqual([]);
    expect(notLinearizable(history.ops), told).toEqual([]);
    expect(history.ops.length, told).toBeGreaterThan(CLIENTS * STEPS * 0.4);
    console.log(`${told}: ${history.ops.length} operations, ${history.inDoubt} in doubt`);
  }, 60_000);
});
