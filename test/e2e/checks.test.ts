import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { createServer as createHttp2Server } from 'node:http2';
import type { AddressInfo, Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer as createTlsServer } from 'node:tls';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { HealthCheck } from '../../src/model/catalog.ts';
import { TestAuthority } from '../fakes/agent-certificates.ts';
import { type AgentProcess, assertNoneLeft, callAgent, isthmus, startAgent, waitFor } from '../harness/index.ts';

const running: { stop(): Promise<unknown> }[] = [];
const servers: Server[] = [];
let dir: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'isthmus-checks-'));
});
afterEach(async () => {
  for (const process of running.splice(0).reverse()) await process.stop();
  await assertNoneLeft();
  for (const server of servers.splice(0)) {
    if ('closeAllConnections' in server) (server.closeAllConnections as () => void)();
    server.close();
  }
  rmSync(dir, { recursive: true, force: true });
});

async function start(options: Partial<Parameters<typeof startAgent>[0]> = {}): Promise<AgentProcess> {
  const agent = await startAgent({ name: 'dc1-s1', datacenter: 'dc1', ...options });
  running.push(agent);
  return agent;
}

async function listen(server: Server, path?: string): Promise<string> {
  servers.push(server);
  if (path === undefined) server.listen(0, '127.0.0.1');
  else server.listen(path);
  await once(server, 'listening');
  return path ?? `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

type Shown = readonly [status: string, type: string, output: string];

async function shown(agent: AgentProcess, path: string): Promise<Readonly<Record<string, Shown>>> {
  const checks = Object.values(await callAgent<Readonly<Record<string, HealthCheck>>>(agent, 'GET', path));
  return Object.fromEntries(
    checks.map(({ CheckID, Status, Type, Output }) => [CheckID, [Status, Type, Output] as const]),
  );
}

/** A process that is there, and is no zombie. */
function lives(pid: number): boolean {
  return existsSync(`/proc/${pid}`) && !/ Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
}

/** Stands in for Docker's daemon, whose command always writes "in the container". */
function docker(): Server {
  return createHttpServer((request, response) => {
    request.resume();
    if (request.url === '/exec/e1/start') {
      const head = Buffer.from([1, 0, 0, 0, 0, 0, 0, 16]);
      response.end(Buffer.concat([head, Buffer.from('in the container')]));
    } else if (request.url === '/exec/e1/json') response.end('{"Running":false,"ExitCode":1}');
    else response.writeHead(201).end('{"Id":"e1"}');
  });
}

describe('checks of every kind', () => {
  it('come from files and from the API, reach the catalog, and are carried out again after a restart', async () => {
    const authority = new TestAuthority().make('server');
    const tls = await listen(createTlsServer(authority));
    const h2 = await listen(createHttp2Server());
    const moved = await listen(
      createHttpServer((_request, response) => response.writeHead(302, { location: '/x' }).end('moved')),
    );
    const udp = createSocket('udp4');
    udp.on('message', (_message, { port }) => udp.send('x', port, '127.0.0.1'));
    udp.bind(0, '127.0.0.1');
    await once(udp, 'listening');
    const dockerSocket = await listen(docker(), join(dir, 'docker.sock'));
    writeFileSync(
      join(dir, 'systemctl'),
      '#!/bin/sh\n[ "$3" = nginx ] && echo active && exit 0\necho inactive; exit 3\n',
    );
    chmodSync(join(dir, 'systemctl'), 0o755);

    const interval = '1s';
    const inFile = [
      { id: 'script', name: 'script', args: ['sh', '-c', 'echo out; exit 1'], interval },
      { id: 'tls', name: 'tls', tcp: tls, tcp_use_tls: true, tls_skip_verify: true, interval },
      { id: 'os', name: 'os', os_service: 'nginx', interval },
    ];
    const byApi = [
      { ID: 'untrusted', Name: 'untrusted', TCP: tls, TCPUseTLS: true, Interval: interval },
      { ID: 'udp', Name: 'udp', UDP: `127.0.0.1:${udp.address().port}`, Interval: interval },
      { ID: 'h2ping', Name: 'h2ping', H2PING: h2, H2PingUseTLS: false, Interval: interval },
      { ID: 'grpc', Name: 'grpc', GRPC: h2, Interval: interval, Timeout: '30s' },
      { ID: 'docker', Name: 'docker', DockerContainerID: 'c1', Args: ['true'], Interval: interval },
      { ID: 'no-redirect', Name: 'no-redirect', HTTP: `http://${moved}`, DisableRedirects: true, Interval: interval },
      { ID: 'metadata', Name: 'metadata', GRPC: '169.254.169.254:80', Interval: interval },
      { ID: 'slow', Name: 'slow', Args: ['sleep', '600'], Interval: interval, Timeout: '1s' },
      { ID: 'flood', Name: 'flood', Args: ['sh', '-c', 'yes | head -c 9000'], OutputMaxSize: 4, Interval: interval },
    ];
    const wanted: Readonly<Record<string, unknown>> = {
      script: ['warning', 'script', 'out\n'],
      tls: ['passing', 'tcp', `TCP+TLS connect ${tls}: Success`],
      os: ['passing', 'os_service', 'Service "nginx" is healthy'],
      untrusted: ['critical', 'tcp', expect.stringContaining('certificate signed by unknown authority')],
      udp: ['passing', 'udp', expect.stringContaining(': Success')],
      h2ping: ['passing', 'h2ping', 'HTTP2 ping was successful'],
      grpc: ['critical', 'grpc', expect.stringContaining('rpc error: code = ')],
      docker: ['warning', 'docker', 'in the container'],
      'no-redirect': ['critical', 'http', `HTTP GET http://${moved}: 302 Found Output: moved`],
      metadata: ['critical', 'grpc', expect.stringContaining('see check_allow_link_local')],
      slow: ['critical', 'script', 'Timed out (1s) running check'],
      flood: ['passing', 'script', 'Captured 4 of 9000 bytes\n...\ny\ny\n'],
    };
    const agent = await start({
      config: { enable_script_checks: true, checks: inFile, check_update_interval: '0s' },
      env: { PATH: `${dir}:${process.env.PATH}`, DOCKER_HOST: `unix://${dockerSocket}` },
    });
    for (const check of byApi) await callAgent(agent, 'PUT', '/v1/agent/check/register', check);
    const all = async (path: string): Promise<void> => {
      let last: Readonly<Record<string, Shown>> = {};
      await waitFor(
        async () => {
          last = await shown(agent, path);
          expect(last).toMatchObject(wanted);
          return true;
        },
        { what: 'results of all checks', timeout: 60_000 },
      ).catch((error: unknown) => {
        expect(last, String(error)).toMatchObject(wanted);
      });
    };
    await all('/v1/agent/checks');
    await all('/v1/health/node/dc1-s1');
    await agent.restart();
    await all('/v1/agent/checks');
    await new Promise<void>((resolve) => udp.close(resolve));
  }, 240_000);

  it('show what Consul shows', async () => {
    const agent = await start({ config: { enable_script_checks: true }, env: { DOCKER_HOST: '' } });
    for (const check of [
      { ID: 'scr', Name: 'scr', Args: ['sh', '-c', 'echo hi; exit 1'], Interval: '1s', Timeout: '1s' },
      { ID: 'grpc', Name: 'grpc', GRPC: '127.0.0.1:1/svc', GRPCUseTLS: true, Interval: '1s' },
      { ID: 'dock', Name: 'dock', DockerContainerID: 'abc', Shell: '/bin/sh', Args: ['true'], Interval: '1s' },
    ])
      await callAgent(agent, 'PUT', '/v1/agent/check/register', check);
    // Recorded (operator-and-agent); the words of gRPC are those of the current edition.
    const common = { Node: 'dc1-s1', Notes: '', ServiceID: '', ServiceName: '', ServiceTags: [], Definition: {} };
    const refused = 'dial tcp 127.0.0.1:1: connect: connection refused';
    const socket = '/var/run/docker.sock';
    const wanted = {
      scr: { ...common, CheckID: 'scr', Name: 'scr', Status: 'warning', Output: 'hi\n', Type: 'script' },
      grpc: {
        ...{ ...common, CheckID: 'grpc', Name: 'grpc', Status: 'critical', Type: 'grpc' },
        Output:
          `rpc error: code = Unavailable desc = connection error: desc = "transport: Error while dialing: ` +
          `${refused}"`,
      },
      dock: {
        ...{ ...common, CheckID: 'dock', Name: 'dock', Status: 'critical', Type: 'docker' },
        Output:
          `create exec failed for container abc: Post "http://${encodeURIComponent(socket)}/containers/abc/exec": ` +
          `dial unix ${socket}: connect: no such file or directory`,
      },
    };
    let last: unknown;
    await waitFor(
      async () => {
        last = await callAgent(agent, 'GET', '/v1/agent/checks');
        expect(last).toMatchObject(existsSync(socket) ? { scr: wanted.scr, grpc: wanted.grpc } : wanted);
        return true;
      },
      { what: 'the results', timeout: 60_000 },
    ).catch(() => expect(last).toMatchObject(wanted));
  }, 120_000);

  it('leave no program behind when the agent stops', async () => {
    const pids = join(dir, 'pids');
    const agent = await start({ config: { enable_script_checks: true } });
    await callAgent(agent, 'PUT', '/v1/agent/check/register', {
      Name: 'slow',
      Args: ['sh', '-c', `echo $$ >> ${pids}; sleep 600`],
      Interval: '1s',
      Timeout: '10m',
    });
    const pid = await waitFor(async () => Number(readFileSync(pids, 'utf8').trim()), { what: 'the script' });
    expect(lives(pid)).toBe(true);
    expect(await agent.stop()).toMatchObject({ code: 0 });
    await waitFor(async () => !lives(pid), { what: 'the end of the script' });
  }, 120_000);
});

describe('commands of checks', () => {
  it('are run for no one unless the operator allows it', async () => {
    const marker = join(dir, 'ran');
    const Args = ['sh', '-c', `touch ${marker}`];
    const agent = await start({ config: { enable_local_script_checks: true } });
    const refusal =
      "Scripts are disabled on this agent from remote calls; to enable, configure 'enable_script_checks' to true";
    const check = { Name: 'x', Args, Interval: '1s' };
    for (const [path, body] of [
      ['/v1/agent/check/register', check],
      ['/v1/agent/check/register', { ...check, HTTP: 'http://127.0.0.1:1' }],
      ['/v1/agent/check/register', { ...check, DockerContainerID: 'c1' }],
      ['/v1/agent/service/register', { Name: 'web', Check: check }],
      ['/v1/agent/service/register', { Name: 'web', Connect: { SidecarService: { Checks: [check] } } }],
    ] as const) {
      const answer = await agent.http('PUT', path, body);
      expect([answer.status, answer.body]).toEqual([500, refusal]);
    }
    const old = await agent.http('PUT', '/v1/agent/check/register', { ...check, Args: [], Script: 'true' });
    expect([old.status, old.body]).toEqual([400, expect.stringContaining('Script is no longer taken: give Args')]);
    // In the catalog it is a row, whoever wrote it.
    const row = { Node: 'dc1-s1', CheckID: 'row', Name: 'row', Definition: { HTTP: 'http://127.0.0.1:1' }, Args };
    const given = { Node: 'dc1-s1', Address: '127.0.0.1', Check: row };
    expect((await agent.http('PUT', '/v1/catalog/register', given)).status).toBeLessThan(500);
    await callAgent(agent, 'PUT', '/v1/agent/check/register', {
      ID: 'last',
      Name: 'last',
      TCP: '127.0.0.1:1',
      Interval: '1s',
    });
    await waitFor(async () => (await shown(agent, '/v1/agent/checks')).last?.[2] !== '', {
      what: 'a check that came after',
    });
    expect(existsSync(marker)).toBe(false);
  }, 120_000);

  it('in files are refused with their line, before anything starts', async () => {
    const file = join(dir, 'c.hcl');
    writeFileSync(file, 'data_dir = "/d"\nservice {\n  name = "web"\n  check { args = ["true"] interval = "1s" }\n}\n');
    const result = await isthmus(['validate', file]);
    expect(result.code).toBe(1);
    expect(`${result.out}${result.err}`).toContain(
      `${file}:4: service "web": Scripts are disabled on this agent; to enable, configure 'enable_script_checks' or`,
    );
  });
});
