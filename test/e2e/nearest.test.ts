import { Resolver } from 'node:dns/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { FederationMap } from '../../src/cli/commands/federation-svg.ts';
import type { DatacenterCoordinates, NodeCoordinate } from '../../src/model/coordinate.ts';
import {
  type AgentProcess,
  callAgent,
  freePorts,
  isthmus,
  startAgent,
  type WanProxy,
  waitFor,
  wanProxy,
} from '../harness/index.ts';

const PORTS_OF_A_SERVER = 4;
/** One way, milliseconds: so far apart that the measured times of a busy machine do not overlap. */
const NEAR_MS = 20;
const FAR_MS = 100;
const VERY_FAR_MS = 400;
/** Round-trip times are measured every two seconds, and smoothed. */
const MEASURED_WITHIN_MS = 45_000;

/** Three datacenters; the ways to dc2 and dc3 take their time. */
describe('distances', () => {
  const stops: (() => Promise<unknown>)[] = [];
  const agents = new Map<string, AgentProcess>();
  const ways = new Map<string, WanProxy>();
  const agent = (datacenter: string): AgentProcess => agents.get(datacenter) as AgentProcess;

  async function start(datacenter: string, host: string, delayMs: number): Promise<void> {
    const { first } = await freePorts(PORTS_OF_A_SERVER);
    const way = await wanProxy(`127.0.0.1:${first + 3}`, { host, port: first + 3 });
    way.delay(delayMs);
    const joined = ways.get('dc1')?.address;
    ways.set(datacenter, way);
    stops.push(() => way.close());
    const started = await startAgent({
      name: `${datacenter}-s1`,
      datacenter,
      config: {
        primary_datacenter: 'dc1',
        advertise_addr_wan: host,
        retry_join_wan: joined === undefined ? [] : [joined],
        ports: { http: first, server: first + 1, serf_lan: first + 2, serf_wan: first + 3 },
      },
    });
    agents.set(datacenter, started);
    stops.push(() => started.stop());
  }

  beforeAll(async () => {
    await start('dc1', '127.0.1.1', 0);
    await Promise.all([start('dc2', '127.0.2.1', FAR_MS), start('dc3', '127.0.3.1', NEAR_MS)]);
    for (const [datacenter, Address] of [
      ['dc2', '10.2.0.1'],
      ['dc3', '10.3.0.1'],
    ] as const)
      await callAgent(agent(datacenter), 'PUT', '/v1/catalog/register', {
        Node: `${datacenter}-db`,
        Address,
        Service: { Service: 'db', Port: 5_432 },
      });
    await callAgent(agent('dc1'), 'POST', '/v1/query', {
      Name: 'nearest-db',
      Service: { Service: 'db', Failover: { NearestN: 2 } },
    });
  });
  afterAll(async () => {
    for (const stop of stops.reverse()) await stop();
  });

  const datacenters = (): Promise<readonly string[]> => callAgent(agent('dc1'), 'GET', '/v1/catalog/datacenters');
  const executed = async (): Promise<string> =>
    (await callAgent<{ Datacenter: string }>(agent('dc1'), 'GET', '/v1/query/nearest-db/execute')).Datacenter;
  const resolved = async (): Promise<string | undefined> => {
    const resolver = new Resolver();
    resolver.setServers([agent('dc1').ready.dns ?? '']);
    return (await resolver.resolve4('nearest-db.query.consul'))[0];
  };
  const within = { timeout: MEASURED_WITHIN_MS, interval: 200 };

  it('put the nearest datacenter first', async () => {
    await waitFor(async () => (await datacenters()).join() === 'dc1,dc3,dc2', { what: 'the order', ...within });
    expect([await executed(), await resolved()]).toEqual(['dc3', '10.3.0.1']);
  }, 60_000);

  it('are told as coordinates, and on the command line', async () => {
    const told = async (): Promise<readonly string[]> => {
      const path = '/v1/coordinate/datacenters';
      const list = await callAgent<readonly DatacenterCoordinates[]>(agent('dc1'), 'GET', path);
      return list.map(({ Datacenter }) => Datacenter).sort();
    };
    // The order may have been right before the farthest one was measured: who is not, comes last.
    await waitFor(async () => (await told()).join() === 'dc1,dc2,dc3', { what: 'all to be measured', ...within });
    const rtt = async (...args: readonly string[]): Promise<number> => {
      const { code, out, err } = await isthmus(['rtt', `-http-addr=${agent('dc1').ready.http}`, ...args]);
      expect([code, err]).toEqual([0, '']);
      const [, ms] = /^Estimated \S+ <-> \S+ rtt: ([\d.]+) ms \(using [LW]AN coordinates\)\n$/.exec(out) ?? [];
      return Number(ms);
    };
    const [toDc2, toDc3] = [await rtt('-wan', 'dc2-s1.dc2'), await rtt('-wan', 'dc1-s1.dc1', 'dc3-s1.dc3')];
    expect(toDc2).toBeGreaterThan(1.9 * FAR_MS);
    expect(toDc3).toBeGreaterThan(1.9 * NEAR_MS);
    expect(toDc3).toBeLessThan(toDc2);
    const map = await isthmus(['federation', 'map', `-http-addr=${agent('dc1').ready.http}`, '-format=json']);
    const { Datacenters } = JSON.parse(map.out) as FederationMap;
    expect(Datacenters.map(({ Datacenter, Reached }) => [Datacenter, Reached])).toEqual([
      ['dc1', true],
      ['dc2', true],
      ['dc3', true],
    ]);
    expect(Object.keys(Datacenters[0]?.RttMs ?? {}).sort()).toEqual(['dc2', 'dc3']);
    expect((await isthmus(['federation', 'map', `-http-addr=${agent('dc1').ready.http}`, '-svg'])).out).toMatch(
      /^<svg /,
    );
  });

  it('of nodes are told by whoever measured them, and sort lists', async () => {
    const dc1 = agent('dc1');
    for (const [Node, seconds] of [
      ['far', 0.05],
      ['near', 0.002],
    ] as const) {
      await callAgent(dc1, 'PUT', '/v1/catalog/register', { Node, Address: '10.1.0.1', Service: { Service: 'web' } });
      const Coord = { Vec: [seconds, 0, 0, 0, 0, 0, 0, 0], Error: 0.1, Adjustment: 0, Height: 0 };
      await callAgent(dc1, 'PUT', '/v1/coordinate/update', { Node, Segment: '', Coord });
    }
    const nodes = await callAgent<readonly NodeCoordinate[]>(dc1, 'GET', '/v1/coordinate/nodes');
    expect(nodes.map(({ Node }) => Node)).toEqual(['dc1-s1', 'far', 'near']);
    expect((await dc1.http('GET', '/v1/coordinate/node/nobody')).status).toBe(404);
    const client = await startAgent({
      name: 'client',
      datacenter: 'dc1',
      config: { server: false, retry_join: [dc1.ready.serf_lan] },
    });
    stops.push(() => client.stop());
    const measured = async () => (await dc1.http('GET', '/v1/coordinate/node/client')).status === 200;
    await waitFor(measured, { what: "the client's coordinate", ...within });
    const near = async (path: string): Promise<readonly string[]> =>
      (await callAgent<readonly { Node: { Node: string } }[]>(dc1, 'GET', path)).map(({ Node }) => Node.Node);
    expect(await near('/v1/health/service/web?near=_agent')).toEqual(['near', 'far']);
    expect(await near('/v1/health/service/web?near=far')).toEqual(['far', 'near']);
    const rtt = await isthmus(['rtt', `-http-addr=${dc1.ready.http}`, 'near']);
    expect(rtt.out).toBe('Estimated near <-> dc1-s1 rtt: 2.010 ms (using LAN coordinates)\n');
  }, 60_000);

  it('change the order when they change, for those who follow too', async () => {
    ways.get('dc3')?.delay(VERY_FAR_MS);
    await waitFor(async () => (await resolved()) === '10.2.0.1', { what: 'the nearer datacenter', ...within });
    expect([(await datacenters()).join(), await executed()]).toEqual(['dc1,dc2,dc3', 'dc2']);
  }, 60_000);
});
