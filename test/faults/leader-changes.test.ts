import { afterEach, describe, expect, it } from 'vitest';
import { FakeClock } from '../fakes/fake-clock.ts';
import { type ClusterServer, type LeaderAct, ServerCluster } from '../fakes/server-cluster.ts';
import { type Random, seeded } from '../harness/random.ts';

const TTL_MS = 10_000;
const HOUR_MS = 3_600_000;
const CHANGES = Number(process.env.ISTHMUS_TEST_LEADER_CHANGES ?? 1_000);

let dc1: ServerCluster;
let dc2: ServerCluster;
let clock: FakeClock;
let random: Random;
let told: string;

async function start(seed?: number): Promise<void> {
  random = seed === undefined ? seeded() : seeded(seed);
  told = `seed ${random.seed}`;
  clock = new FakeClock();
  dc1 = new ServerCluster('dc1', clock, random.pick);
  dc2 = new ServerCluster('dc2', clock, random.pick, dc1);
  for (const name of ['a', 'b', 'c']) await dc1.start(`dc1-${name}`);
  for (const name of ['a', 'b', 'c']) await dc2.start(`dc2-${name}`);
  await until(() => signs(dc1) && signs(dc2), 'both datacenters sign');
}

afterEach(async () => {
  const stopping = Promise.all([dc1.stop(), dc2.stop()]);
  await clock.advance(10 * TTL_MS);
  await stopping;
});

async function until(condition: () => boolean, what: string): Promise<void> {
  for (let turn = 0; turn < 600; turn += 1) {
    if (condition()) return;
    await clock.advance(500);
  }
  expect.fail(`${what} never came about (${told})`);
}

function signs({ servers }: ServerCluster): boolean {
  return servers.every(({ ca }) => ca.status().State === 'ready' || ca.status().State === 'rotating');
}

/** The leader's row now, as text; '' while no one leads. */
async function leaderOf({ engine }: ServerCluster): Promise<string> {
  return (await engine.range({ prefix: 'leadership/' })).rows[0]?.value ?? '';
}

/** Pauses a server, cuts it off or sets its clock off: when it leads, another will. */
async function disturb({ servers }: ServerCluster): Promise<void> {
  const victim = random.pick(servers);
  const dice = random.next();
  if (victim.process.paused) await victim.process.resume();
  else if (dice < 0.6) victim.process.pause();
  else if (dice < 0.8) victim.process.cutOff();
  else if (dice < 0.9) victim.process.jump(random.between(-HOUR_MS, HOUR_MS));
  if (servers.every(({ process }) => !process.answers)) await wakeOne(random.pick(servers));
}

async function wakeOne({ process }: ClusterServer): Promise<void> {
  process.heal();
  await process.resume();
}

/** Each leader's row has one writer, and what was done under one never comes after what was done under a later one. */
function expectOneAtATime(acts: readonly LeaderAct[]): void {
  const writers = new Map<number, string>();
  let newest = 0;
  for (const { server, fence } of acts) {
    expect(fence, told).toBeGreaterThanOrEqual(newest);
    newest = fence;
    expect(writers.get(fence) ?? server, told).toBe(server);
    writers.set(fence, server);
  }
}

describe('changes of the leader at random moments, while entries are written and roots rotate', () => {
  it(`let one CA manager and one replicator act at a time, ${CHANGES} times`, async () => {
    await start();
    const acknowledged = new Map<string, string>();
    const last = new Map<ServerCluster, string>();
    const roots = new Set<string>();
    let changes = 0;
    let writes = 0;
    const pending: Promise<unknown>[] = [];
    for (let round = 0; changes < CHANGES; round += 1) {
      for (const cluster of [dc1, dc2]) {
        await disturb(cluster);
        if (random.next() < 0.3) for (const { process } of cluster.servers) process.heal();
      }
      const writer = dc1.servers.find(({ process }) => process.answers);
      if (writer !== undefined) {
        const entry = { name: `entry-${random.between(0, 20)}`, text: `${++writes}` };
        pending.push(
          writer.put(entry).then(
            () => acknowledged.set(entry.name, entry.text),
            () => undefined, // in doubt
          ),
        );
        if (round % 40 === 0)
          pending.push(
            writer.ca.rotate({}).then(
              ({ NewRootID }) => {
                expect(roots.has(NewRootID), told).toBe(false);
                roots.add(NewRootID);
              },
              () => undefined, // not the leader, or one is under way
            ),
          );
      }
      await clock.advance(random.next() * 1.5 * TTL_MS);
      for (const cluster of [dc1, dc2]) {
        const leader = await leaderOf(cluster);
        if (leader !== '' && leader !== last.get(cluster)) changes += 1;
        if (leader !== '') last.set(cluster, leader);
      }
    }
    for (const cluster of [dc1, dc2]) await cluster.wake();
    await clock.advance(60_000);
    await Promise.all(pending);

    expect(dc2.unfenced, told).toEqual([]);
    // In the primary, clients write entries on any server; the CA's tables are the leader's.
    expect(
      dc1.unfenced.filter((one) => one.includes('ca-')),
      told,
    ).toEqual([]);
    expectOneAtATime(dc1.acts.filter(({ tables }) => tables.some((table) => table.startsWith('ca-'))));
    expectOneAtATime(dc2.acts);
    expect(dc2.acts.length, told).toBeGreaterThan(CHANGES / 20);

    // Everybody shows what was acknowledged, and everything that dc1 has is in dc2.
    const rows = ({ entries }: ClusterServer) => entries.list().map(({ value }) => value);
    const [first] = dc1.servers as [ClusterServer];
    await until(() => dc2.servers.every((server) => sameRows(rows(server), rows(first))), 'the same entries in dc2');
    for (const server of [...dc1.servers, ...dc2.servers])
      for (const name of acknowledged.keys()) expect(server.entries.get(name), told).toBeDefined();
    await until(
      () => [...dc1.servers, ...dc2.servers].every(({ ca }) => activeRoot(ca) === activeRoot(first.ca)),
      'one active root',
    );
    console.log(
      `${told}: ${changes} leader changes, ${dc1.acts.length + dc2.acts.length} acts as leader, ` +
        `${dc1.refused + dc2.refused} refused, ${roots.size} rotations, ${acknowledged.size} entries`,
    );
  }, 120_000);

  it('write nothing but the leader’s row when there is nothing to do', async () => {
    await start();
    await clock.advance(60_000); // reports and cursors are written
    const acts = dc1.acts.length + dc2.acts.length;
    for (let change = 0; change < 20; change += 1) {
      for (const cluster of [dc1, dc2]) {
        const leader = cluster.leader();
        leader.process.pause();
        const from = (await cluster.engine.currentRevision()) + 1;
        await clock.advance(1.5 * TTL_MS);
        await leader.process.resume();
        await clock.advance(5 * TTL_MS);
        const written = new Set<string>();
        const ending = new AbortController();
        const to = await cluster.engine.currentRevision();
        for await (const commit of cluster.engine.watch({ prefix: '', fromRevision: from, signal: ending.signal })) {
          for (const { key } of commit.changes) written.add(key.slice(0, key.indexOf('/')));
          if (commit.revision >= to) break;
        }
        expect([...written], told).toEqual(['leadership']);
        expect(cluster.leader().name, told).not.toBe(leader.name);
      }
    }
    expect(dc1.acts.length + dc2.acts.length, told).toBe(acts);
  }, 60_000);
});

function activeRoot(ca: ClusterServer['ca']): string {
  return ca.reads['ca.roots'].produce({}).ActiveRootID;
}

function sameRows(a: readonly unknown[], b: readonly unknown[]): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
