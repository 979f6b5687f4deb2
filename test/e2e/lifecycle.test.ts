import { Resolver } from 'node:dns/promises';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import {
  type AgentProcess,
  type AgentReady,
  ask,
  assertNoneLeft,
  BINARY,
  callAgent,
  httpRequest,
  isthmus,
  LongLived,
  startAgent,
  startBed,
  startProcess,
  waitFor,
} from '../harness/index.ts';

/** Well within this the processes stop, also with everything that they hold open, milliseconds. */
const STOP_WITHIN_MS = 8_000;
const CLEAN = { code: 0, signal: null };

const running: { stop(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const process of running.splice(0).reverse()) await process.stop();
  await assertNoneLeft();
});

async function start(options: Parameters<typeof startAgent>[0]): Promise<AgentProcess> {
  const agent = await startAgent(options);
  running.push(agent);
  return agent;
}

/** Changes the file that an agent was started with. */
function reconfigure(agent: AgentProcess, change: Readonly<Record<string, unknown>>): void {
  const file = `${agent.dataDir}.json`;
  writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), ...change }));
}

async function serviceNames(agent: AgentProcess): Promise<string[]> {
  return Object.keys(await callAgent<Record<string, unknown>>(agent, 'GET', '/v1/agent/services')).sort();
}

describe('stopping', () => {
  it('by SIGTERM and by SIGINT ends every process cleanly, whatever it holds open', async () => {
    const bed = await startBed();
    running.push(bed);
    const { web, db } = await bed.webToDb();
    const open = await LongLived.open(web.upstreamPort);
    const waiting = bed.agents.map((agent) =>
      agent.http('GET', '/v1/catalog/services?index=1000000&wait=5m').catch(() => undefined),
    );
    const far = bed.dc1.http('GET', '/v1/health/service/db?dc=dc2&index=1000000').catch(() => undefined);
    const processes = [web.sidecar, db.sidecar, ...bed.agents];
    const started = performance.now();
    for (const [at, process] of processes.entries()) process.signal(at % 2 === 0 ? 'SIGTERM' : 'SIGINT');
    for (const process of processes) expect(await process.exited, process.name).toEqual(CLEAN);
    expect(performance.now() - started).toBeLessThan(STOP_WITHIN_MS);
    await Promise.all([...waiting, far, open.whenClosed]);
    for (const agent of bed.agents) expect(agent.log()).toContain('"msg":"stopped"');
    await Promise.all(bed.agents.map((agent) => agent.restart())); // same ports, same store: nothing was left behind
  }, 60_000);

  it('of a sidecar lets open connections end, and takes no new ones', async () => {
    const bed = await startBed();
    running.push(bed);
    const { web, db } = await bed.webToDb();
    const open = await LongLived.open(web.upstreamPort);
    db.sidecar.signal('SIGTERM');
    await waitFor(
      () =>
        ask(web.upstreamPort, 'x').then(
          () => false,
          () => true,
        ),
      { what: 'new connections being refused' },
    );
    await open.ask();
    open.close();
    const closedAt = performance.now();
    expect(await db.sidecar.exited).toEqual(CLEAN);
    expect(performance.now() - closedAt).toBeLessThan(STOP_WITHIN_MS);
  }, 30_000);
});

describe('reloading', () => {
  it('by itself when a file changes, with auto_reload_config; what is not valid changes nothing', async () => {
    const base = { auto_reload_config: true };
    const agent = await start({ name: 's1', datacenter: 'dc1', config: { ...base, services: [{ name: 'one' }] } });
    reconfigure(agent, { ...base, services: [{ name: 'two' }] });
    await waitFor(async () => (await serviceNames(agent)).includes('two'), { what: 'the reload by itself' });
    reconfigure(agent, { ...base, services: [{ nme: 'three' }] });
    await waitFor(async () => agent.log().includes('configuration files changed, but are not valid'), {
      what: 'the refusal in the log',
    });
    expect(await serviceNames(agent)).toEqual(['two']);
  }, 30_000);

  it('by SIGHUP and by the API takes services over and names the keys that need a restart', async () => {
    const config = { services: [{ name: 'one', port: 1 }] };
    const agent = await start({ name: 's1', datacenter: 'dc1', config });
    expect(await serviceNames(agent)).toEqual(['one']);
    await callAgent(agent, 'PUT', '/v1/agent/service/register', { Name: 'by-api', Port: 9 });

    reconfigure(agent, { services: [{ name: 'two', port: 2 }], node_name: 'another-name' });
    agent.signal('SIGHUP');
    await waitFor(async () => agent.log().includes('configuration reloaded'), { what: 'the reload by SIGHUP' });
    expect(await serviceNames(agent)).toEqual(['by-api', 'two']);
    expect(agent.log()).toMatch(/"keys":\["node_name"\][^\n]*changed keys need a restart/);
    expect((await callAgent<{ Config: { NodeName: string } }>(agent, 'GET', '/v1/agent/self')).Config.NodeName).toBe(
      's1',
    );

    const ttl = async (): Promise<number | undefined> => {
      const resolver = new Resolver();
      resolver.setServers([agent.ready.dns ?? '']);
      return (await resolver.resolve4('s1.node.consul', { ttl: true }))[0]?.ttl;
    };
    expect(await ttl()).toBe(0);
    reconfigure(agent, {
      services: [{ name: 'three', port: 3 }],
      node_name: 's1',
      log_file: 'unused.log',
      dns_config: { node_ttl: '7s' },
    });
    const reloaded = await agent.http('PUT', '/v1/agent/reload');
    expect(reloaded.status).toBe(200);
    expect(reloaded.headers['x-isthmus-needs-restart']).toBe('log_file');
    expect(await ttl()).toBe(7);
    expect(await serviceNames(agent)).toEqual(['by-api', 'three']);

    reconfigure(agent, { services: [{ name: 'four', prot: 4 }] });
    const refused = await agent.http('PUT', '/v1/agent/reload');
    expect(refused.status).toBe(500);
    expect(refused.body).toContain('prot');
    agent.signal('SIGHUP');
    await waitFor(async () => agent.log().includes('task failed'), { what: 'the failed reload being told' });
    expect(await serviceNames(agent)).toEqual(['by-api', 'three']);
  }, 30_000);
});

describe('a data directory', () => {
  it('that a running server has open is refused to a second one, with a reason', async () => {
    const agent = await start({ name: 's1', datacenter: 'dc1' });
    const failed = start({
      name: 's2',
      datacenter: 'dc1',
      dataDir: `${agent.dataDir}2`,
      config: { data_dir: agent.dataDir },
    });
    await expect(failed).rejects.toThrow(
      new RegExp(
        `ended with status 1 before it was ready[^]*already open in process ${agent.pid}; stop that one first`,
      ),
    );
    expect((await agent.http('GET', '/v1/status/leader')).status).toBe(200);
    // It still holds its store, and writes it.
    expect((await agent.http('PUT', '/v1/catalog/register', { Node: 'n', Address: '10.0.0.1' })).status).toBe(200);
  }, 30_000);

  it('keeps registrations, checks and their state over a stop and over a kill', async () => {
    const agent = await start({ name: 's1', datacenter: 'dc1' });
    await callAgent(agent, 'PUT', '/v1/agent/service/register', {
      Name: 'kept',
      Port: 80,
      Check: { CheckID: 'alive', TTL: '10m' },
    });
    await callAgent(agent, 'PUT', '/v1/agent/check/pass/alive?note=well');
    for (const end of ['stop', 'kill9'] as const) {
      await agent[end]();
      await agent.restart();
      expect(await serviceNames(agent)).toEqual(['kept']);
      await waitFor(
        async () => {
          const [instance] = await callAgent<{ Checks: { CheckID: string; Status: string; Output: string }[] }[]>(
            agent,
            'GET',
            '/v1/health/service/kept?passing',
          );
          return instance?.Checks.some(({ CheckID, Output }) => CheckID === 'alive' && Output === 'well');
        },
        { what: `the passing check after ${end}` },
      );
    }
  }, 30_000);
});

describe('datacenters that must not federate', () => {
  const pairs = [
    {
      what: 'two that both claim to be the primary',
      one: { name: 'a1', datacenter: 'dc1', config: { primary_datacenter: 'dc1' } },
      other: { name: 'b1', datacenter: 'dc2', config: { primary_datacenter: 'dc2' } },
      reason: 'both claim to be the primary',
    },
    {
      what: 'two with the same name',
      one: { name: 'a1', datacenter: 'dc1', config: {} },
      other: { name: 'b1', datacenter: 'dc1', config: {} },
      reason: 'give one datacenter another name',
    },
    {
      what: 'two that name different primaries',
      one: { name: 'a1', datacenter: 'dc1', config: { primary_datacenter: 'dc1' } },
      other: { name: 'b1', datacenter: 'dc2', config: { primary_datacenter: 'dc3' } },
      reason: 'set it to the same name in both',
    },
  ];

  it.each(pairs)(
    '$what refuse each other, and both say why',
    async ({ one, other, reason }) => {
      const first = await start(one);
      const second = await start({ ...other, config: { ...other.config, retry_join_wan: [first.ready.serf_wan] } });
      for (const agent of [first, second]) {
        await waitFor(async () => agent.log().includes(reason), { what: `the reason in the log of ${agent.name}` });
        expect(
          agent
            .log()
            .split('\n')
            .filter((line) => line.includes('refused to federate')),
          agent.name,
        ).toHaveLength(1);
        expect(await callAgent(agent, 'GET', '/v1/catalog/datacenters')).toHaveLength(1);
      }
      const shown = await isthmus(['federation', 'status', '-http-addr', second.ready.http]);
      expect(shown.out + shown.err).toContain('refused');
    },
    30_000,
  );
});

describe('isthmus agent -dev', () => {
  it('needs no configuration, keeps nothing, and has everything on', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'isthmus-dev-'));
    const file = join(folder, 'ports.json');
    writeFileSync(file, JSON.stringify({ ports: { http: 0, dns: 0, grpc: 0, server: 0, serf_lan: 0, serf_wan: 0 } }));
    const agent = await startProcess<AgentReady>({
      name: 'dev',
      command: BINARY,
      args: ['agent', '-dev', '-config-file', file],
      logFile: join(folder, 'log'),
      readyPrefix: '==> Isthmus agent ready: ',
    });
    running.push(agent);
    expect(agent.ready.datacenter).toBe('dc1');
    const get = (path: string) => httpRequest(`http://${agent.ready.http}${path}`);
    expect((await get('/v1/status/leader')).body).toContain('127.0.0.1');
    expect((await get('/v1/agent/connect/ca/leaf/any')).status).toBe(200);
    expect((await get('/v1/agent/self')).json<{ DebugConfig: { DataDir: string } }>().DebugConfig.DataDir).toBe('');
    agent.signal('SIGINT');
    expect(await agent.exited).toEqual(CLEAN);
    rmSync(folder, { recursive: true });
  }, 30_000);
});

describe('a sidecar', () => {
  it('goes on while its agent is away, and follows it again when it is back', async () => {
    const bed = await startBed();
    running.push(bed);
    const { web } = await bed.webToDb();
    await Promise.all(bed.agents.map((agent) => agent.kill9()));
    expect(await ask(web.upstreamPort, 'without agents')).toContain('db:');
    await Promise.all(bed.agents.map((agent) => agent.restart()));
    await callAgent(bed.dc1, 'PUT', '/v1/connect/intentions/exact?source=web&destination=db', {
      SourceType: 'consul',
      Action: 'deny',
    });
    await waitFor(
      () =>
        ask(web.upstreamPort, 'x').then(
          () => false,
          () => true,
        ),
      {
        what: 'the deny that was written after the restart',
        timeout: 20_000,
      },
    );
  }, 60_000);
});
