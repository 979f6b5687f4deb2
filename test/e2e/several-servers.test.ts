import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CaRoots } from '../../src/model/ca.ts';
import type { Intention } from '../../src/model/intention.ts';
import {
  ask,
  assertNoneLeft,
  callAgent,
  type EchoApplication,
  type EtcdCluster,
  type MeshService,
  startEcho,
  startEtcd,
  startLoad,
  startMeshService,
  waitFor,
  withoutEtcd,
} from '../harness/index.ts';
import { type ClusterServer, type ServerCluster, startServers } from '../harness/servers.ts';

const CONFIG = { node_timeout: '3s' };
const NEW_PER_SECOND = 40;
const KEPT = 10;

let etcd: EtcdCluster;
let dc1: ServerCluster;
let dc2: ServerCluster;
const meshes: MeshService[] = [];
const applications: EchoApplication[] = [];

const running = (cluster: ServerCluster): ClusterServer[] => cluster.servers.filter(({ agent }) => agent.running);

async function leaderOf(cluster: ServerCluster): Promise<ClusterServer> {
  return waitFor(
    async () => {
      const [asked] = running(cluster);
      const address = await callAgent<string>((asked as ClusterServer).agent, 'GET', '/v1/status/leader');
      return running(cluster).find(({ agent }) => agent.ready.server === address);
    },
    { what: 'a leader that runs', timeout: 30_000 },
  );
}

const other = (cluster: ServerCluster, than: ClusterServer): ClusterServer =>
  cluster.servers.find((server) => server !== than) as ClusterServer;

/**
 * Writes an intention at one server and waits until all that run show it. A write on its way to a server that dies
 * fails.
 */
async function intend(at: ClusterServer, source: string): Promise<void> {
  const path = `/v1/connect/intentions/exact?source=${source}&destination=db`;
  await waitFor(async () => (await at.agent.http('PUT', path, { Action: 'allow' })).status === 200, {
    what: `${at.agent.name} to write the intention of ${source}`,
    timeout: 20_000,
  });
  for (const { agent } of [...running(dc1), ...running(dc2)])
    await waitFor(
      async () => {
        const all = await callAgent<Intention[]>(agent, 'GET', '/v1/connect/intentions');
        return all.some(({ SourceName }) => SourceName === source);
      },
      { what: `the intention of ${source} on ${agent.name}`, timeout: 20_000 },
    );
}

describe.skipIf(withoutEtcd() !== undefined)('two datacenters of two servers each', () => {
  beforeAll(async () => {
    etcd = await startEtcd();
    dc1 = await startServers({ etcd, count: 2, config: CONFIG });
    // One address of one server is all that the other datacenter is told.
    const seed = dc1.servers[0]?.agent.ready.serf_wan;
    dc2 = await startServers({ etcd, count: 2, datacenter: 'dc2', config: { ...CONFIG, retry_join_wan: [seed] } });
    for (const { agent } of [...dc1.servers, ...dc2.servers]) {
      await waitFor(async () => (await callAgent<unknown[]>(agent, 'GET', '/v1/agent/members?wan=1')).length === 4, {
        what: `${agent.name} to know all servers`,
        timeout: 30_000,
      });
      await waitFor(async () => (await agent.http('GET', '/v1/agent/connect/ca/leaf/first')).status === 200, {
        what: `${agent.name} to sign leaves`,
        timeout: 30_000,
      });
    }
  }, 90_000);

  afterAll(async () => {
    await Promise.all(meshes.map(({ sidecar }) => sidecar.stop()));
    await Promise.all(applications.map((application) => application.close()));
    await dc2?.stop();
    await dc1?.stop();
    await etcd?.stop();
    await assertNoneLeft();
  });

  it('have one trust domain, one intermediate each, and read and write over any server', async () => {
    const roots = await Promise.all(
      [...dc1.servers, ...dc2.servers].map(({ agent }) => callAgent<CaRoots>(agent, 'GET', '/v1/connect/ca/roots')),
    );
    expect(new Set(roots.map(({ TrustDomain }) => TrustDomain)).size).toBe(1);
    expect(new Set(roots.map(({ ActiveRootID }) => ActiveRootID)).size).toBe(1);
    for (const [number, server] of [...dc1.servers, ...dc2.servers].entries()) await intend(server, `source-${number}`);
    for (const { agent } of dc2.servers)
      expect(await callAgent(agent, 'GET', '/v1/catalog/nodes?dc=dc1')).toHaveLength(2);
  });

  it('lose no connection between sidecars while the leaders of both are killed', async () => {
    const [leader1, leader2] = [await leaderOf(dc1), await leaderOf(dc2)];
    const [rest1, rest2] = [other(dc1, leader1), other(dc2, leader2)];
    const application = await startEcho('db');
    applications.push(application);
    const db = await startMeshService(rest2.agent, 'db', { port: application.port });
    meshes.push(db);
    const web = await startMeshService(rest1.agent, 'web', { upstream: { name: 'db', datacenter: 'dc2' } });
    meshes.push(web);
    await waitFor(() => ask(web.upstreamPort, 'hello'), { what: 'the way from web to db', timeout: 20_000 });

    const load = await startLoad(web.upstreamPort, NEW_PER_SECOND, KEPT);
    await leader2.agent.kill9();
    expect(await leaderOf(dc2)).toBe(rest2);
    await intend(rest1, 'after-the-first'); // it is replicated by the next leader
    await leader1.agent.kill9(); // the only address that dc2 was ever told
    await intend(rest2, 'after-the-second');
    expect(await leaderOf(dc1)).toBe(rest1);
    await callAgent(rest2.agent, 'PUT', '/v1/connect/ca/rotate?force');
    const { ActiveRootID } = await waitFor(
      async () => {
        const both = await Promise.all(
          [rest1, rest2].map(({ agent }) => callAgent<CaRoots>(agent, 'GET', '/v1/connect/ca/roots')),
        );
        const [here, there] = both as [CaRoots, CaRoots];
        const old = here.Roots.some(({ ID, Active }) => !Active && ID !== here.ActiveRootID);
        return old && here.ActiveRootID === there.ActiveRootID ? here : undefined;
      },
      { what: 'the new root in both datacenters', timeout: 60_000 },
    );
    expect(ActiveRootID).not.toBe('');
    await Promise.all([leader1.agent.restart(), leader2.agent.restart()]);
    await intend(leader2, 'after-all');
    await waitFor(async () => load.counts.opened > NEW_PER_SECOND, { what: 'new connections all the while' });
    const counts = await load.stop();
    expect(counts.errors).toEqual([]);
    expect(counts).toMatchObject({ failed: 0, longLivedFailed: 0 });
    console.log(
      `${counts.opened} connections opened, ${counts.longLivedAnswers} answers on ${KEPT} kept ones, none failed`,
    );
  }, 150_000);
});
