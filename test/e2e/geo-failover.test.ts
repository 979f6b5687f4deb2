import { execFile } from 'node:child_process';
import { Resolver } from 'node:dns/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type AgentProcess,
  ask,
  BINARY,
  callAgent,
  type EchoApplication,
  freePorts,
  portOf,
  type SidecarProcess,
  startAgent,
  startEcho,
  startSidecar,
  type WanProxy,
  waitFor,
  wanProxy,
} from '../harness/index.ts';

/** A datacenter with db. All ways to it lead through forwarders that can be cut. */
interface FarDatacenter {
  readonly agent: AgentProcess;
  readonly sidecar: SidecarProcess;
  readonly ways: readonly WanProxy[];
}

/** What a black hole may take until new connections go elsewhere, milliseconds. */
const FAILOVER_MS = 15_000;
const PORTS_OF_A_SERVER = 4;

/** web in dc1; db in dc2 and dc3. web reaches it by a query that fails over, and by an upstream in dc2 alone. */
describe('geo failover with three datacenters', () => {
  let dc1: AgentProcess;
  let dc2: FarDatacenter;
  let web: SidecarProcess;
  const byQuery = async (): Promise<string> => ask(queryPort, 'hello', 1_000);
  const byService = async (): Promise<string> => ask(servicePort, 'hello', 1_000);
  let queryPort = 0;
  let servicePort = 0;
  const stops: (() => Promise<unknown>)[] = [];

  async function start(datacenter: string, host: string, join: readonly string[]): Promise<AgentProcess> {
    const own = await freePorts(PORTS_OF_A_SERVER);
    const agent = await startAgent({
      name: `${datacenter}-s1`,
      datacenter,
      config: {
        primary_datacenter: 'dc1',
        advertise_addr_wan: host,
        retry_join_wan: join,
        translate_wan_addrs: true,
        ports: { http: own.first, server: own.first + 1, serf_lan: own.first + 2, serf_wan: own.first + 3 },
      },
    });
    stops.push(() => agent.stop());
    return agent;
  }

  async function echo(name: string): Promise<EchoApplication> {
    const application = await startEcho(name);
    stops.push(() => application.close());
    return application;
  }

  async function far(datacenter: string, host: string): Promise<FarDatacenter> {
    const agent = await start(datacenter, host, [dc1.ready.serf_wan]);
    const { first: port } = await freePorts(1);
    const application = await echo(datacenter);
    await callAgent(agent, 'PUT', '/v1/agent/service/register', {
      Name: 'db',
      Port: application.port,
      Connect: {
        SidecarService: { Address: '127.0.0.1', Port: port, TaggedAddresses: { wan: { Address: host, Port: port } } },
      },
    });
    const sidecar = await startSidecar({ agent, sidecarFor: 'db' });
    stops.push(() => sidecar.stop());
    const serf = portOf(agent.ready.serf_wan);
    const ways = [
      await wanProxy(`127.0.0.1:${serf}`, { host, port: serf }),
      await wanProxy(`127.0.0.1:${port}`, { host, port }),
    ];
    stops.push(() => Promise.all(ways.map((way) => way.close())));
    return { agent, sidecar, ways };
  }

  beforeAll(async () => {
    dc1 = await start('dc1', '127.0.1.1', []);
    [dc2] = await Promise.all([far('dc2', '127.0.2.1'), far('dc3', '127.0.3.1')]);
    await callAgent(dc1, 'POST', '/v1/query', {
      Name: 'geo-db',
      Service: { Service: 'db', Failover: { Datacenters: ['dc2', 'dc3'] } },
    });
    const { first } = await freePorts(2);
    [queryPort, servicePort] = [first, first + 1];
    await callAgent(dc1, 'PUT', '/v1/agent/service/register', {
      Name: 'web',
      Port: (await echo('web')).port,
      Connect: {
        SidecarService: {
          Port: (await freePorts(1)).first,
          Proxy: {
            Upstreams: [
              { DestinationType: 'prepared_query', DestinationName: 'geo-db', LocalBindPort: queryPort },
              { DestinationName: 'db', Datacenter: 'dc2', LocalBindPort: servicePort },
            ],
          },
        },
      },
    });
    web = await startSidecar({ agent: dc1, sidecarFor: 'web' });
    stops.push(() => web.stop());
  });

  afterAll(async () => {
    for (const stop of stops.reverse()) await stop();
  });

  const leadsTo = (reach: () => Promise<string>, datacenter: string, timeout = 20_000): Promise<unknown> =>
    waitFor(async () => (await reach()) === `${datacenter}: hello`, { what: `an answer from ${datacenter}`, timeout });
  /** Lines of a command's output with single spaces. */
  const run = (...args: readonly string[]): Promise<readonly string[]> =>
    new Promise((resolve, reject) => {
      const [first = '', second = ''] = args;
      const words = first === 'rtt' ? [first] : [first, second];
      const command = [...words, '-http-addr', dc1.ready.http, ...args.slice(words.length)];
      execFile(process.execPath, [BINARY, ...command], (error, stdout, stderr) => {
        if (error === null)
          resolve(
            stdout
              .trimEnd()
              .split('\n')
              .map((line) => line.trimEnd().replace(/ +/g, ' ')),
          );
        else reject(new Error(`${stderr}${stdout}`));
      });
    });
  const executed = async (): Promise<string> =>
    (await callAgent<{ Datacenter: string }>(dc1, 'GET', '/v1/query/geo-db/execute?connect=true')).Datacenter;
  const resolved = async (): Promise<readonly string[]> => {
    const resolver = new Resolver();
    resolver.setServers([dc1.ready.dns ?? '']);
    return resolver.resolve4('geo-db.query.consul');
  };

  it('leads to the first datacenter that is alive, for sidecars, HTTP and DNS alike', async () => {
    await leadsTo(byQuery, 'dc2');
    await leadsTo(byService, 'dc2');
    expect(await executed()).toBe('dc2');
    expect(await resolved()).toEqual(['127.0.2.1']);
  });

  it('is foretold, and every address explained, on the command line', async () => {
    // Ends with 1 until the instance of dc3 is known to be healthy.
    const forecast = () => run('query', 'forecast', 'geo-db').catch(() => undefined);
    await waitFor(async () => (await forecast()) !== undefined, { what: 'a datacenter that serves when dc2 is lost' });
    expect(await forecast()).toEqual([
      'Lost Served from Service Instances Failovers',
      '(nothing) dc2 db 1 1',
      'dc1 dc2 db 1 1',
      'dc2 dc3 db 1 2',
      'dc3 dc2 db 1 1',
    ]);
    const port = portOf(dc2.sidecar.ready.listen ?? '');
    expect(await run('catalog', 'address', '-datacenter=dc2', '-connect', 'db')).toEqual([
      'Node Service ID DC From Address Because',
      `dc2-s1 db-sidecar-proxy dc2 dc1 127.0.2.1:${port} it is the WAN address of the service`,
    ]);
    expect((await run('catalog', 'address', '-datacenter=dc2', '-connect', '-from=dc2', 'db'))[1]).toBe(
      `dc2-s1 db-sidecar-proxy dc2 dc2 127.0.0.1:${port} it is the address of the service`,
    );
    expect((await run('rtt', '-wan', 'dc3-s1.dc3'))[0]).toMatch(
      /^Estimated dc3-s1\.dc3 <-> dc1-s1\.dc1 rtt: \d+\.\d{3} ms \(using WAN coordinates\)$/,
    );
  });

  it('leads elsewhere within the detection time when a datacenter goes silent, and back', async () => {
    for (const way of dc2.ways) way.blackHole();
    await leadsTo(byQuery, 'dc3', FAILOVER_MS);
    await expect(byService()).rejects.toThrow();
    await waitFor(async () => (await executed()) === 'dc3', { what: 'the answer of the query' });
    await waitFor(async () => (await resolved())[0] === '127.0.3.1', { what: 'the answer of DNS' });
    for (const way of dc2.ways) way.heal();
    await leadsTo(byQuery, 'dc2', 20_000);
    await leadsTo(byService, 'dc2');
  }, 60_000);

  it('follows a change of the query', async () => {
    const [query] = await callAgent<readonly { ID: string; Service: object }[]>(dc1, 'GET', '/v1/query');
    const change = (datacenters: readonly string[]): Promise<unknown> =>
      callAgent(dc1, 'PUT', `/v1/query/${query?.ID}`, {
        Name: 'geo-db',
        Service: { Service: 'db', Failover: { Datacenters: datacenters } },
      });
    await change(['dc3', 'dc2']);
    await leadsTo(byQuery, 'dc3');
    await change(['dc2', 'dc3']);
    await leadsTo(byQuery, 'dc2');
  });

  it('leads elsewhere at once when a datacenter dies', async () => {
    await dc2.agent.kill9();
    await dc2.sidecar.kill9();
    for (const way of dc2.ways) way.reset();
    await leadsTo(byQuery, 'dc3');
    await expect(byService()).rejects.toThrow();
    expect(await executed()).toBe('dc3');
  });
});
