import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CaRoots } from '../../src/model/ca.ts';
import type { Member } from '../../src/model/member.ts';
import {
  assertNoneLeft,
  callAgent,
  type EtcdCluster,
  isthmus,
  startEtcd,
  waitFor,
  withoutEtcd,
} from '../harness/index.ts';
import { type ClusterServer, type ServerCluster, startServers } from '../harness/servers.ts';

/** A lease of this length; etcd gives none below 2 s. */
const TIMEOUT_MS = 3_000;

interface RaftServer {
  readonly ID: string;
  readonly Node: string;
  readonly Address: string;
  readonly Leader: boolean;
}

let etcd: EtcdCluster;
let cluster: ServerCluster;
/** What was acknowledged, by name of the service. */
const acknowledged = new Map<string, string>();

const get = <T>({ agent }: ClusterServer, path: string): Promise<T> => callAgent<T>(agent, 'GET', path);
const others = (...without: readonly ClusterServer[]): ClusterServer[] =>
  cluster.servers.filter((server) => !without.includes(server));

/** The server that all of `asked` name as the leader. */
async function leaderOf(asked: readonly ClusterServer[]): Promise<ClusterServer> {
  return waitFor(
    async () => {
      const named = await Promise.all(asked.map((server) => get<string>(server, '/v1/status/leader')));
      const [first] = named;
      if (first === '' || named.some((address) => address !== first)) return undefined;
      return cluster.servers.find(({ agent }) => agent.ready.server === first);
    },
    { what: 'one leader that all servers name', timeout: 20_000 },
  );
}

async function newLeader(without: ClusterServer): Promise<ClusterServer> {
  return waitFor(
    async () => {
      const leader = await leaderOf(others(without).filter(({ agent }) => agent.running));
      return leader === without ? undefined : leader;
    },
    { what: 'another leader', timeout: 30_000 },
  );
}

let writes = 0;
async function write({ agent }: ClusterServer): Promise<void> {
  const name = `service-${writes % 7}`;
  const value = `${++writes}`;
  await callAgent(agent, 'PUT', '/v1/config', { Kind: 'service-defaults', Name: name, Meta: { value } });
  acknowledged.set(name, value);
}

async function expectNothingLost(asked: readonly ClusterServer[]): Promise<void> {
  for (const server of asked) {
    for (const [name, value] of acknowledged) {
      // A server that was cut off needs a moment to answer; what it answers then must be right.
      const entry = await waitFor(
        () => get<{ Meta: { value: string } }>(server, `/v1/config/service-defaults/${name}?consistent`),
        { what: `${server.agent.name} to answer`, timeout: 20_000 },
      );
      expect(entry.Meta.value, `${name} on ${server.agent.name}`).toBe(value);
    }
  }
}

/**
 * Roots rotate, whichever server is asked, to one that has not been there before. A dead server's leaves can't move.
 */
const seenRoots = new Set<string>();
async function rotate(
  asked: ClusterServer,
  shown = cluster.servers.filter(({ agent }) => agent.running),
): Promise<void> {
  const { NewRootID } = await callAgent<{ NewRootID: string }>(asked.agent, 'PUT', '/v1/connect/ca/rotate?force');
  expect(seenRoots.has(NewRootID)).toBe(false);
  seenRoots.add(NewRootID);
  await waitFor(
    async () => {
      const roots = await Promise.all(shown.map((server) => get<CaRoots>(server, '/v1/connect/ca/roots')));
      return roots.every(({ ActiveRootID }) => ActiveRootID === NewRootID);
    },
    { what: `the root ${NewRootID} to be active`, timeout: 60_000 },
  );
}

describe.skipIf(withoutEtcd() !== undefined)('three servers of a datacenter on etcd', () => {
  beforeAll(async () => {
    etcd = await startEtcd();
    const config = { node_timeout: `${TIMEOUT_MS}ms`, connect: { ca_rotation_hold_timeout: '2s' } };
    cluster = await startServers({ etcd, config });
  }, 60_000);

  afterAll(async () => {
    await cluster?.stop();
    await etcd?.stop();
    await assertNoneLeft();
  });

  it('name one leader and each other, with one CA', async () => {
    const leader = await leaderOf(cluster.servers);
    const addresses = cluster.servers.map(({ agent }) => agent.ready.server).sort();
    const roots = await get<CaRoots>(leader, '/v1/connect/ca/roots');
    expect(roots.Roots).toHaveLength(1);
    for (const server of cluster.servers) {
      expect(await get(server, '/v1/status/peers')).toEqual(addresses);
      expect((await get<CaRoots>(server, '/v1/connect/ca/roots')).ActiveRootID).toBe(roots.ActiveRootID);
      const { Servers } = await get<{ Servers: RaftServer[] }>(server, '/v1/operator/raft/configuration');
      expect(Servers.map(({ Address }) => Address).sort()).toEqual(addresses);
      expect(Servers.filter(({ Leader }) => Leader).map(({ Address }) => Address)).toEqual([leader.agent.ready.server]);
      const health = await get<{ Healthy: boolean; FailureTolerance: number }>(server, '/v1/operator/autopilot/health');
      expect(health).toMatchObject({ Healthy: true, FailureTolerance: 2 });
      const members = await get<Member[]>(server, '/v1/agent/members');
      expect(members.map(({ Name, Status }) => `${Name} ${Status}`)).toEqual(['dc1-s1 1', 'dc1-s2 1', 'dc1-s3 1']);
      const wan = await get<Member[]>(server, '/v1/agent/members?wan=1');
      expect(wan.map(({ Name }) => Name)).toEqual(['dc1-s1.dc1', 'dc1-s2.dc1', 'dc1-s3.dc1']);
      await get(server, '/v1/agent/connect/ca/leaf/web');
    }
    const peers = await isthmus(['operator', 'raft', 'list-peers', '-http-addr', leader.agent.ready.http]);
    expect(peers.out.match(/ leader /g)).toHaveLength(1);
    expect(peers.out.match(/ follower /g)).toHaveLength(2);
  });

  it('show what was written on one on all, and rotate whichever is asked', async () => {
    for (const server of cluster.servers) await write(server);
    await expectNothingLost(cluster.servers);
    const leader = await leaderOf(cluster.servers);
    await rotate(others(leader)[0] as ClusterServer);
  });

  it('go on when the leader is killed; its node turns critical and comes back', async () => {
    const leader = await leaderOf(cluster.servers);
    const rest = others(leader);
    await leader.agent.kill9();
    for (const server of rest) await write(server); // writes need no leader
    const next = await newLeader(leader);
    expect(next).not.toBe(leader);
    await rotate(rest[0] as ClusterServer);
    const check = async () =>
      (await get<{ CheckID: string; Status: string }[]>(next, `/v1/health/node/${leader.agent.name}`)).find(
        ({ CheckID }) => CheckID === 'serfHealth',
      )?.Status;
    await waitFor(async () => (await check()) === 'critical', { what: 'the node to turn critical', timeout: 30_000 });
    const health = await get<{ Healthy: boolean }>(next, '/v1/operator/autopilot/health');
    expect(health.Healthy).toBe(false);
    await leader.agent.restart();
    await waitFor(async () => (await check()) === 'passing', { what: 'the node to be back', timeout: 30_000 });
    await expectNothingLost(cluster.servers);
  }, 120_000);

  it('refuse what a leader that was paused past its lease still writes', async () => {
    const leader = await leaderOf(cluster.servers);
    leader.pause();
    const next = await newLeader(leader);
    await rotate(next, others(leader));
    for (const server of others(leader)) await write(server);
    const before = await get<CaRoots>(next, '/v1/connect/ca/roots?consistent');
    leader.resume();
    await waitFor(async () => (await get<string>(leader, '/v1/status/leader')) === next.agent.ready.server, {
      what: 'the former leader to know the new one',
    });
    await waitFor(async () => leader.agent.log().includes('this server leads no longer'), {
      what: 'the former leader to say so',
    });
    expect((await get<CaRoots>(next, '/v1/connect/ca/roots?consistent')).ActiveRootID).toBe(before.ActiveRootID);
    await expectNothingLost(cluster.servers);
    await rotate(leader); // it asks the new one
  }, 120_000);

  it.each(['black hole', 'reset'] as const)(
    'go on when the leader is cut off from etcd (%s)',
    async (how) => {
      const leader = await leaderOf(cluster.servers);
      leader.cutOff(how);
      let next: ClusterServer;
      try {
        next = await newLeader(leader);
        for (const server of others(leader)) await write(server);
        const entries = '/v1/config/service-defaults';
        await waitFor(
          async () => {
            const stale = await leader.agent.http('GET', `${entries}?stale`);
            expect(stale.status).toBe(200);
            return stale.headers['x-consul-knownleader'] === 'false';
          },
          { what: 'the former leader to know that it has lost the store', timeout: 20_000 },
        );
        expect((await leader.agent.http('GET', `${entries}?consistent`)).status).toBe(503);
      } finally {
        leader.heal();
      }
      await expectNothingLost(cluster.servers);
      expect(await leaderOf(cluster.servers)).toBe(next);
    },
    120_000,
  );

  it('go on with one of three', async () => {
    const leader = await leaderOf(cluster.servers);
    const [second, last] = others(leader) as [ClusterServer, ClusterServer];
    await Promise.all([leader.agent.kill9(), second.agent.kill9()]);
    await write(last);
    await waitFor(async () => (await get<string>(last, '/v1/status/leader')) === last.agent.ready.server, {
      what: 'the last server to lead',
      timeout: 30_000,
    });
    await rotate(last);
    await Promise.all([leader.agent.restart(), second.agent.restart()]);
    await expectNothingLost(cluster.servers);
    expect(await leaderOf(cluster.servers)).toBe(last);
  }, 120_000);
});
