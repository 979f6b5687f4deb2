import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { type Found, History, type Registers } from '../harness/history.ts';
import {
  assertNoneLeft,
  callAgent,
  type EtcdCluster,
  seeded,
  startEtcd,
  waitFor,
  withoutEtcd,
} from '../harness/index.ts';
import { notLinearizable } from '../harness/linearizable.ts';
import { type ClusterServer, type ServerCluster, startServers } from '../harness/servers.ts';

const CLIENTS = 6;
const STEPS = Number(process.env.ISTHMUS_TEST_HISTORY_STEPS ?? 80);
const NAMES = ['a', 'b', 'c', 'd', 'e', 'f'];
const KIND = 'service-defaults';

let etcd: EtcdCluster | undefined;
let cluster: ServerCluster | undefined;
afterEach(async () => {
  await cluster?.stop();
  await etcd?.stop();
  cluster = undefined;
  etcd = undefined;
  await assertNoneLeft();
});

/** Configuration entries as registers, by one client that takes its index with it from server to server. */
function registersAt({ agent }: ClusterServer, index: { newest: number }): Registers {
  const get = async (name: string, query: string): Promise<Found> => {
    const answer = await agent.http('GET', `/v1/config/${KIND}/${name}?${query}`);
    if (answer.status !== 200 && answer.status !== 404) throw new Error(`${answer.status} ${answer.body}`);
    index.newest = Math.max(index.newest, Number(answer.headers['x-consul-index']));
    if (answer.status === 404) return { value: null, version: 0 };
    const { Meta, ModifyIndex } = answer.json<{ Meta: { value: string }; ModifyIndex: number }>();
    return { value: Meta.value, version: ModifyIndex };
  };
  const entry = (name: string, value: string) => ({ Kind: KIND, Name: name, Meta: { value } });
  return {
    read: (name) => get(name, 'consistent'),
    async readDefault(name) {
      const found = await get(name, `index=${index.newest}&wait=1ms`);
      return found.value === null ? { ...found, version: index.newest } : found;
    },
    async write(name, value) {
      if (value === null) await callAgent(agent, 'DELETE', `/v1/config/${KIND}/${name}`);
      else await callAgent(agent, 'PUT', '/v1/config', entry(name, value));
    },
    compareAndSet: (name, version, value) => callAgent(agent, 'PUT', `/v1/config?cas=${version}`, entry(name, value)),
  };
}

/** One disturbance that ends by itself. */
async function disturb(victim: ClusterServer, kind: 'kill' | 'pause' | 'cut', ms: number): Promise<void> {
  if (kind === 'kill') {
    await victim.agent.kill9();
    await victim.agent.restart();
  } else if (kind === 'pause') {
    victim.pause();
    await pause(ms);
    victim.resume();
  } else {
    victim.cutOff();
    await pause(ms);
    victim.heal();
  }
}

describe.skipIf(withoutEtcd() !== undefined)('clients of three servers that are killed, paused and cut off', () => {
  it('see one history: consistent reads and writes are linearizable, default reads never go back', async () => {
    const random = seeded();
    const told = `seed ${random.seed}`;
    etcd = await startEtcd();
    cluster = await startServers({ etcd });
    const { servers } = cluster;
    const history = new History();
    let running = CLIENTS;
    const clients = Array.from({ length: CLIENTS }, (_, number) => {
      const index = { newest: 1 };
      let server = random.pick(servers);
      const at = (): Registers => {
        if (random.next() < 0.2 || !server.agent.running) server = random.pick(servers);
        return registersAt(server, index);
      };
      return history.runClient(`client-${number}`, random, STEPS, NAMES, at).finally(() => {
        running -= 1;
      });
    });
    const disturbances: string[] = [];
    for (let turn = 0; running > 0; turn += 1) {
      const kind = (['kill', 'pause', 'cut'] as const)[turn % 3] as 'kill' | 'pause' | 'cut';
      disturbances.push(kind);
      await disturb(random.pick(servers), kind, 200 + random.next() * 800);
      await pause(100 + random.next() * 200);
    }
    await Promise.all(clients);
    expect(history.wentBack, told).toEqual([]);
    expect(notLinearizable(history.ops), told).toEqual([]);
    expect(history.ops.length, told).toBeGreaterThan(CLIENTS * STEPS * 0.4);
    expect(disturbances.length, told).toBeGreaterThanOrEqual(3);
    // And in the end all show the same.
    await waitFor(
      async () => {
        const lists = await Promise.all(
          servers.map(({ agent }) => callAgent<unknown[]>(agent, 'GET', `/v1/config/${KIND}`)),
        );
        return lists.every((list) => JSON.stringify(list) === JSON.stringify(lists[0]));
      },
      { what: `the same entries on all servers (${told})` },
    );
    console.log(
      `${told}: ${history.ops.length} operations, ${history.inDoubt} in doubt, ${disturbances.length} disturbances`,
    );
  }, 180_000);
});
