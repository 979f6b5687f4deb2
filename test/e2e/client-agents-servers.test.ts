import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { HealthCheck } from '../../src/model/catalog.ts';
import { type EtcdCluster, startEtcd } from '../harness/etcd.ts';
import {
  type AgentProcess,
  ask,
  callAgent,
  type EchoApplication,
  freePorts,
  LongLived,
  type SidecarProcess,
  startAgent,
  startEcho,
  startSidecar,
  waitFor,
  withoutEtcd,
} from '../harness/index.ts';
import { type ClusterServer, type ServerCluster, startServers } from '../harness/servers.ts';

/** Two servers on one etcd, and a client agent with two services, whose server is killed and paused. */

const TIMES = { node_timeout: '4s', log_level: 'warn' };

let etcd: EtcdCluster;
let cluster: ServerCluster;
let client: AgentProcess;
let application: EchoApplication;
let open: LongLived;
let upstreamPort: number;
const sidecars: SidecarProcess[] = [];

interface Self {
  readonly Stats: { readonly session: { readonly server: string } };
}

const serverOf = async (agent: AgentProcess): Promise<string> =>
  (await callAgent<Self>(agent, 'GET', '/v1/agent/self')).Stats.session.server;

const named = (name: string): ClusterServer => {
  const found = cluster.servers.find(({ agent }) => agent.name === name);
  if (found === undefined) throw new Error(`no server ${name}`);
  return found;
};
const otherThan = (name: string): ClusterServer =>
  named(cluster.servers.map(({ agent }) => agent.name).find((other) => other !== name) ?? '');

const serfHealth = async (server: ClusterServer, node: string): Promise<HealthCheck | undefined> =>
  (await callAgent<readonly HealthCheck[]>(server.agent, 'GET', `/v1/health/node/${node}`)).find(
    ({ CheckID }) => CheckID === 'serfHealth',
  );

/**
 * The agent goes to the other server, and no one takes its node for lost: also after the lease of the first has ended.
 */
async function survives(lose: (server: ClusterServer) => Promise<void> | void): Promise<ClusterServer> {
  const first = await serverOf(client);
  const survivor = otherThan(first);
  const before = await serfHealth(survivor, 'c1');
  await lose(named(first));
  await waitFor(async () => (await serverOf(client)) === survivor.agent.name, {
    what: 'a session with the other server',
  });
  await waitFor(async () => (await serfHealth(survivor, first))?.Status === 'critical', {
    what: 'the lost server turning critical',
    timeout: 30_000,
  });
  // The row of a check tells when it changed last.
  expect(await serfHealth(survivor, 'c1')).toEqual(before);
  expect(open.closed).toBe(false);
  await open.ask();
  expect(await ask(upstreamPort, 'new')).toContain('new');
  return named(first);
}

describe.skipIf(withoutEtcd() !== undefined)('a client agent of several servers', () => {
  beforeAll(async () => {
    etcd = await startEtcd();
    cluster = await startServers({ etcd, count: 2, config: TIMES });
    const { first, last } = await freePorts(10);
    const [joined] = cluster.servers;
    client = await startAgent({
      name: 'c1',
      datacenter: 'dc1',
      config: {
        server: false,
        retry_join: [joined?.agent.ready.serf_lan],
        ports: { sidecar_min_port: first, sidecar_max_port: last },
      },
    });
    application = await startEcho('api');
    upstreamPort = (await freePorts(1)).first;
    const Upstreams = [{ DestinationName: 'api', LocalBindPort: upstreamPort }];
    const register = (body: object) => callAgent(client, 'PUT', '/v1/agent/service/register', body);
    await register({ Name: 'api', Port: application.port, Connect: { SidecarService: {} } });
    await register({ Name: 'web', Connect: { SidecarService: { Proxy: { Upstreams } } } });
    for (const sidecarFor of ['api', 'web']) sidecars.push(await startSidecar({ agent: client, sidecarFor }));
    await waitFor(() => ask(upstreamPort, 'hello'), { what: 'the way from web to api' });
    open = await LongLived.open(upstreamPort);
  }, 60_000);

  afterAll(async () => {
    open?.close();
    await Promise.all(sidecars.map((sidecar) => sidecar.stop()));
    await client?.stop();
    await application?.close();
    await cluster?.stop();
    await etcd?.stop();
  });

  it('goes on with another one when its server is killed: no check changes, no connection drops', async () => {
    const lost = await survives(async (server) => void (await server.agent.kill9()));
    await lost.agent.restart();
    await waitFor(async () => (await serfHealth(lost, lost.agent.name))?.Status === 'passing', {
      what: 'the server being back',
    });
  }, 60_000);

  it('leaves a server that is paused, and what that one says when it wakes up changes nothing', async () => {
    const paused = await survives((server) => server.pause());
    const before = await serfHealth(otherThan(paused.agent.name), 'c1');
    paused.resume();
    await waitFor(async () => (await serfHealth(paused, paused.agent.name))?.Status === 'passing', {
      what: 'the server being back',
      timeout: 30_000,
    });
    expect(await serfHealth(paused, 'c1')).toEqual(before);
  }, 60_000);
});
