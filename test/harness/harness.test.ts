import { once } from 'node:events';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  assertNoneLeft,
  runningProcesses,
  startAgent,
  startSidecar,
  type WanProxy,
  waitFor,
  wanProxy,
} from './index.ts';

/** Stands for the real program: reads its configuration, serves one page, prints the ready line, obeys some wishes. */
const FAKE = `#!/usr/bin/env node
const { readFileSync } = require('node:fs');
const http = require('node:http');
const args = process.argv.slice(2);
console.error('started with ' + args.join(' '));
if (args.includes('-fail')) { console.error('no such datacenter'); process.exitCode = 3; }
else if (args.includes('-silent')) setInterval(() => {}, 1000);
else if (args[0] === 'connect') {
  const ready = { proxy: args[3], listen: 'a:1', upstreams: {}, metrics: args[5] };
  process.stdout.write('==> Isthmus sidecar ready: ' + JSON.stringify(ready) + '\\n');
  setInterval(() => {}, 1000);
} else {
  const config = JSON.parse(readFileSync(args[args.indexOf('-config-file') + 1], 'utf8'));
  if (args.includes('-stubborn')) process.on('SIGTERM', () => {});
  const server = http.createServer((request, response) => {
    let body = '';
    request.on('data', (chunk) => { body += chunk; });
    request.on('end', () => {
      const { method, url, headers } = request;
      const env = process.env.CONSUL_HTTP_ADDR ?? null;
      response.end(JSON.stringify({ method, url, body, type: headers['content-type'], config, env }));
    });
  });
  server.listen(config.ports.http, '127.0.0.1', () => {
    const http = '127.0.0.1:' + server.address().port;
    process.stdout.write('some other line\\n==> Isthmus agent rea');
    const { node_name: node, datacenter } = config;
    const ready = { node, datacenter, http, server: 'x:1', serf_lan: 'x:2', serf_wan: 'x:3', pid: process.pid };
    setImmediate(() => process.stdout.write('dy: ' + JSON.stringify(ready) + '\\nlater\\n'));
  });
}
`;

let folder: string;
let binary: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'isthmus-harness-'));
  binary = join(folder, 'fake');
  writeFileSync(binary, FAKE);
  chmodSync(binary, 0o755);
});

afterAll(() => rmSync(folder, { recursive: true }));
afterEach(assertNoneLeft);

const options = { name: 's1', datacenter: 'dc1' };
interface Echo {
  readonly method: string;
  readonly url: string;
  readonly body: string;
  readonly type?: string;
  readonly config: Record<string, unknown>;
  readonly env: string | null;
}

describe('an agent process', () => {
  it('is ready with the addresses it printed, answers, and keeps ports and data over a restart', async () => {
    process.env.CONSUL_HTTP_ADDR = 'elsewhere:1';
    const dataDir = join(folder, 'one');
    const agent = await startAgent({
      ...options,
      binary,
      dataDir,
      config: { log_level: 'debug', ports: { grpc: -1 } },
    });
    delete process.env.CONSUL_HTTP_ADDR;
    expect(agent.ready).toMatchObject({ node: 's1', datacenter: 'dc1', pid: agent.pid });
    const answer = await agent.http('PUT', '/v1/x?dc=a', { Name: 'ü' }, { 'content-type': 'application/json' });
    expect(answer.status).toBe(200);
    const echo = answer.json<Echo>();
    expect(echo).toMatchObject({
      method: 'PUT',
      url: '/v1/x?dc=a',
      body: '{"Name":"ü"}',
      type: 'application/json',
      env: null,
    });
    expect(echo.config).toMatchObject({
      server: true,
      log_level: 'debug',
      data_dir: dataDir,
      ports: { http: 0, grpc: -1 },
    });

    const { http, pid } = { ...agent.ready };
    await agent.restart({ log_level: 'warn' });
    expect(agent.ready.http).toBe(http);
    expect(agent.pid).not.toBe(pid);
    expect((await agent.http('GET', '/')).json<Echo>().config).toMatchObject({
      log_level: 'warn',
      ports: { serf_lan: 2, grpc: -1 },
    });

    expect(await agent.kill9()).toEqual({ code: null, signal: 'SIGKILL' });
    expect(agent.running).toBe(false);
    await agent.restart();
    expect(agent.ready.http).toBe(http);
    expect(await agent.stop()).toEqual({ code: null, signal: 'SIGTERM' });
    expect(readFileSync(agent.logFile, 'utf8').match(/started with agent/g)).toHaveLength(3);
    expect(agent.log()).toContain('some other line');
  });

  it('that ends early, or says nothing in time, or does not exist, is an error that shows its log', async () => {
    await expect(startAgent({ ...options, binary, args: ['-fail'] })).rejects.toThrow(
      /^s1 ended with status 3 before it was ready; its log ends with:\n(.|\n)*no such datacenter$/,
    );
    await expect(startAgent({ ...options, binary, args: ['-silent'], readyWithinMs: 300 })).rejects.toThrow(
      /^s1 was not ready within 300 ms/,
    );
    await expect(startAgent({ ...options, binary: join(folder, 'none') })).rejects.toThrow('ENOENT');
    expect(runningProcesses()).toEqual([]);
  });

  it('that does not stop is killed and reported, and one left behind as well', async () => {
    const agent = await startAgent({ ...options, binary, args: ['-stubborn'] });
    await expect(agent.stop(100)).rejects.toThrow('s1 did not stop within 100 ms');
    expect(agent.running).toBe(false);
    const other = await startAgent({ ...options, name: 's2', binary });
    await expect(assertNoneLeft()).rejects.toThrow('processes left behind: s2');
    expect(await other.exited).toEqual({ code: null, signal: 'SIGKILL' });
  });

  it('has sidecars', async () => {
    const agent = await startAgent({ ...options, binary });
    const sidecar = await startSidecar({ agent, sidecarFor: 'web', binary });
    expect(sidecar.ready).toMatchObject({ proxy: 'web', metrics: agent.ready.http });
    await sidecar.stop();
    await agent.stop();
  });
});

describe('waitFor', () => {
  it('gives what the probe gives at last', async () => {
    let looks = 0;
    const probe = async (): Promise<string | undefined> => {
      looks += 1;
      if (looks === 1) throw new Error('not yet');
      return looks < 3 ? undefined : 'here';
    };
    expect(await waitFor(probe, { what: 'it', interval: 1 })).toBe('here');
  });

  it('tells what did not come and why', async () => {
    const probe = async (): Promise<boolean> => {
      throw new Error('refused');
    };
    await expect(waitFor(probe, { what: 'the agent', timeout: 1 })).rejects.toThrow(
      'the agent did not come within 1 ms: refused',
    );
  });
});

describe('a WAN proxy', () => {
  /** Sends back what it gets, and counts connections. */
  async function withEcho(test: (wan: WanProxy, accepted: Socket[]) => Promise<void>): Promise<void> {
    const accepted: Socket[] = [];
    const server = createServer((socket) => {
      accepted.push(socket);
      socket.on('error', () => undefined); // resets are what is tested
      socket.pipe(socket);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const wan = await wanProxy(`127.0.0.1:${(server.address() as { port: number }).port}`);
    await test(wan, accepted);
    await wan.close();
    server.close();
    await once(server, 'close');
  }
  const dial = async (wan: WanProxy): Promise<Socket> => {
    const [host, port] = wan.address.split(':');
    const socket = connect(Number(port), host);
    await once(socket, 'connect');
    return socket;
  };
  const next = async (socket: Socket): Promise<string> => String((await once(socket, 'data'))[0]);

  it('takes a while for every byte when it is told to, and keeps their order', async () => {
    await withEcho(async (wan) => {
      wan.delay(30);
      const socket = await dial(wan);
      const startedAt = performance.now();
      socket.write('one');
      expect(await next(socket)).toBe('one');
      expect(performance.now() - startedAt).toBeGreaterThan(55); // there and back, less what timers are early by
      socket.write('two');
      wan.blackHole();
      wan.delay(0);
      wan.heal();
      socket.write('three');
      let seen = '';
      while (seen.length < 8) seen += await next(socket);
      expect(seen).toBe('twothree');
      socket.destroy();
    });
  });

  it('holds back everything in a black hole and gives it on when healed', async () => {
    await withEcho(async (wan, accepted) => {
      const socket = await dial(wan);
      socket.write('one');
      expect(await next(socket)).toBe('one');
      wan.blackHole();
      const seen: string[] = [];
      socket.on('data', (chunk) => seen.push(String(chunk)));
      socket.write('two');
      const other = await dial(wan);
      await waitFor(async () => wan.connections === 2, { what: 'the second connection' });
      expect([seen, accepted.length, wan.state, wan.bytes]).toEqual([[], 1, 'black hole', 6]);
      wan.heal();
      await waitFor(async () => seen.join('') === 'two', { what: 'what was held back' });
      other.write('three');
      expect(await next(other)).toBe('three');
      socket.end();
      await once(socket, 'close');
      other.destroy();
      await waitFor(async () => wan.connections === 0, { what: 'the end of all connections' });
    });
  });

  it('resets connections, and new ones until it is healed', async () => {
    await withEcho(async (wan, accepted) => {
      const socket = await dial(wan);
      socket.write('one');
      await next(socket);
      wan.reset();
      expect((await once(socket, 'error'))[0]).toMatchObject({ code: 'ECONNRESET' });
      const refused = connect(Number(wan.address.split(':')[1]), '127.0.0.1');
      expect((await once(refused, 'error'))[0]).toMatchObject({ code: 'ECONNRESET' });
      wan.heal();
      const again = await dial(wan);
      again.write('two');
      expect(await next(again)).toBe('two');
      wan.breakConnections();
      expect((await once(again, 'error'))[0]).toMatchObject({ code: 'ECONNRESET' });
      expect([accepted.length, wan.state]).toEqual([2, 'open']);
    });
  });
});
