import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  type AgentProcess,
  assertNoneLeft,
  BINARY,
  callAgent,
  isthmus,
  startAgent,
  waitFor,
} from '../harness/index.ts';

const running: { stop(): Promise<unknown> }[] = [];
const servers: Server[] = [];
let dir: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'isthmus-watches-'));
});
afterEach(async () => {
  for (const process of running.splice(0).reverse()) await process.stop();
  await assertNoneLeft();
  for (const server of servers.splice(0)) server.close();
  rmSync(dir, { recursive: true, force: true });
});

async function start(options: Partial<Parameters<typeof startAgent>[0]> = {}): Promise<AgentProcess> {
  const agent = await startAgent({ name: 'dc1-s1', datacenter: 'dc1', ...options });
  running.push(agent);
  return agent;
}

/** Each call of a script that writes its index and its input there. */
function calls(name: string): readonly { readonly index: string; readonly data: unknown }[] {
  let text = '';
  try {
    text = readFileSync(join(dir, name), 'utf8');
  } catch {
    // it was not called yet
  }
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => {
      const blank = line.indexOf(' ');
      return { index: line.slice(0, blank), data: JSON.parse(line.slice(blank + 1)) as unknown };
    });
}

const writing = (name: string): readonly string[] => [
  'sh',
  '-c',
  `printf '%s %s\\n' "$CONSUL_INDEX" "$(cat)" >> ${join(dir, name)}`,
];

async function called(name: string, what: (data: string) => boolean): Promise<{ index: string; data: unknown }> {
  return waitFor(async () => calls(name).findLast(({ data }) => what(JSON.stringify(data))), {
    what: `a call of ${name}`,
    timeout: 30_000,
  });
}

describe('watches of the configuration', () => {
  it('run scripts and call URLs with each new answer, and follow a reload', async () => {
    const posted: string[] = [];
    const hook = createServer((request, response) => {
      request.setEncoding('utf8');
      let body = '';
      request.on('data', (chunk: string) => {
        body += chunk;
      });
      request.on('end', () => {
        posted.push(`${request.headers['x-consul-index']} ${request.headers['x-own']} ${body}`);
        response.end();
      });
    });
    servers.push(hook);
    hook.listen(0, '127.0.0.1');
    await once(hook, 'listening');
    const path = `http://127.0.0.1:${(hook.address() as AddressInfo).port}/`;
    const agent = await start({
      config: {
        log_level: 'debug',
        watches: [
          { type: 'service', service: 'web', passingonly: true, args: writing('service') },
          { type: 'services', handler_type: 'http', http_handler_config: { path, header: { 'X-Own': ['yes'] } } },
          { type: 'checks', state: 'critical', args: writing('checks') },
          { type: 'event', name: 'deploy', args: writing('event') },
          { type: 'agent_service', service_id: 'web', args: writing('agent') },
          { type: 'key', key: 'a/é ?', args: writing('key') },
          { type: 'keyprefix', prefix: 'a/', args: writing('prefix') },
          { type: 'connect_roots', args: writing('roots') },
          { type: 'nodes', args: ['sh', '-c', 'echo nobody reads this; exit 3'] },
        ],
      },
    });
    await called('service', (data) => data === '[]');
    await callAgent(agent, 'PUT', '/v1/agent/service/register', { Name: 'web', Port: 1, Check: { TTL: '10m' } });
    const { data } = await called('checks', (text) => text.includes('service:web'));
    expect(data).toMatchObject([{ CheckID: 'service:web', Status: 'critical' }]);
    await callAgent(agent, 'PUT', '/v1/agent/check/pass/service:web');
    const seen = await called('service', (text) => text.includes('"Port":1'));
    expect(seen.index).toMatch(/^[1-9]\d*$/);
    await waitFor(async () => posted.some((line) => /^[1-9]\d* yes \{.*"web":\[\]/.test(line)), { what: 'a POST' });
    await called('agent', (text) => text.includes('"ID":"web"'));
    await called('roots', (text) => text.includes('ActiveRootID'));
    await called('key', (text) => text === 'null');
    await callAgent(agent, 'PUT', '/v1/kv/a/%C3%A9%20%3F', '1');
    const key = await called('key', (text) => text.includes('"Value":"MQ=="'));
    expect(Object.keys(key.data as object)).toEqual([
      ...['Key', 'CreateIndex', 'ModifyIndex', 'LockIndex', 'Flags', 'Value', 'Session'],
    ]);
    await called('prefix', (text) => text.includes('"Key":"a/é ?"'));
    await callAgent(agent, 'DELETE', '/v1/kv/a/?recurse');
    expect((await called('key', (text) => text === 'null')).index).not.toBe('0');
    await callAgent(agent, 'PUT', '/v1/event/fire/deploy', 'v2');
    await callAgent(agent, 'PUT', '/v1/event/fire/other');
    const deploy = await called('event', (text) => text.includes('deploy'));
    expect(deploy.data).toMatchObject([{ Name: 'deploy', Payload: 'djI=' }]);
    await waitFor(async () => agent.log().includes('exit status 3'), { what: 'the failed handler in the log' });

    const before = calls('service').length;
    const file = `${agent.dataDir}.json`;
    const config = JSON.parse(readFileSync(file, 'utf8')) as { watches: unknown[] };
    const kept = config.watches.slice(1);
    writeFileSync(file, JSON.stringify({ ...config, watches: [...kept, { type: 'nodes', args: writing('nodes') }] }));
    await callAgent(agent, 'PUT', '/v1/agent/reload');
    await called('nodes', (text) => text.includes('dc1-s1'));
    await callAgent(agent, 'PUT', '/v1/agent/service/register', { Name: 'web', Port: 2 });
    await called('agent', (text) => text.includes('"Port":2'));
    expect(calls('service')).toHaveLength(before);
    expect(calls('roots')).toHaveLength(1); // what stayed went on
  }, 180_000);

  it('with access control see what their token may', async () => {
    const management = 'c0ffee00-0000-4000-8000-000000000001';
    const agent = await start({
      config: {
        acl: { enabled: true, default_policy: 'deny', tokens: { initial_management: management } },
        watches: [
          { type: 'services', args: writing('anonymous') },
          { type: 'services', token: management, args: writing('management') },
        ],
      },
    });
    await called('management', (data) => data.includes('consul'));
    await called('anonymous', (data) => data === '{}');
    expect(agent.log()).not.toContain(management);
    const self = await agent.http('GET', '/v1/agent/self', undefined, { 'X-Consul-Token': management });
    expect(self.body).not.toContain(management);
  }, 120_000);

  it('that make no sense are refused with their line', async () => {
    const file = join(dir, 'c.hcl');
    writeFileSync(
      file,
      'data_dir = "/d"\nwatches = [\n  { type = "key", args = ["true"] },\n  { type = "nodes" },\n' +
        '  { type = "event", handler_type = "http" },\n]\n',
    );
    const { code, out, err } = await isthmus(['validate', file]);
    expect(code).toBe(1);
    expect(`${out}${err}`).toContain(`${file}:3: "watches": Must specify a single key to watch`);
    expect(`${out}${err}`).toContain(`${file}:4: "watches": a watch needs "args"`);
    expect(`${out}${err}`).toContain(`${file}:5: "watches": handler_type "http" needs "http_handler_config"`);
  }, 60_000);
});

describe('isthmus watch', () => {
  it('prints the answer once, as Consul does', async () => {
    const agent = await start();
    const http = `-http-addr=${agent.ready.http}`;
    expect(await isthmus(['watch', http, '-type=services'])).toEqual({
      code: 0,
      out: '{\n    "consul": []\n}\n',
      err: '',
    });
    await callAgent(agent, 'PUT', '/v1/kv/imp/a?flags=1', 'x');
    const key = await isthmus(['watch', http, '-type=key', '-key=imp/a']);
    expect(key.out.replaceAll(/Index": [1-9]\d*/g, 'Index": 116')).toBe(
      '{\n    "Key": "imp/a",\n    "CreateIndex": 116,\n    "ModifyIndex": 116,\n    "LockIndex": 0,\n    "Flags": ' +
        '1,\n' +
        '    "Value": "eA==",\n    "Session": ""\n}\n',
    );
    const bogus = await isthmus(['watch', http, '-type=bogus']);
    expect(bogus).toMatchObject({ code: 1, err: 'Unsupported watch type: bogus\n' });
    const none = await isthmus(['watch', http]);
    expect([none.code, none.err.split('\n')[0]]).toEqual([1, 'Watch type must be specified']);
  }, 60_000);

  it('runs a program with each answer, until one fails', async () => {
    const agent = await start();
    const script = join(dir, 'handler.sh');
    writeFileSync(
      script,
      `data="$(cat)"; printf '%s %s\\n' "$CONSUL_INDEX" "$data" >> ${join(dir, 'child')}\n` +
        'case "$data" in *stop*) exit 7;; esac\necho "$1"\n',
    );
    // What stands behind the program is its own, flags too.
    const args = ['watch', `-http-addr=${agent.ready.http}`, '-type=event', '-shell=false', 'sh', script, '-x'];
    const child = spawn(BINARY, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let out = '';
    let err = '';
    child.stdout.on('data', (chunk: Buffer) => {
      out += chunk.toString();
    });
    child.stderr.on('data', (chunk: Buffer) => {
      err += chunk.toString();
    });
    await called('child', (data) => data === '[]');
    await callAgent(agent, 'PUT', '/v1/event/fire/deploy');
    await called('child', (data) => data.includes('deploy'));
    await callAgent(agent, 'PUT', '/v1/event/fire/stop');
    const [code] = (await once(child, 'close')) as [number];
    expect([code, out, err]).toEqual([1, '-x\n-x\n', 'Error executing handler: exit status 7\n']);
  }, 120_000);
});
