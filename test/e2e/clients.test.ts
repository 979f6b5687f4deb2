import { execFile, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { findClient } from '../../scripts/clients.mjs';
import {
  type AgentProcess,
  callAgent,
  freePorts,
  portOf,
  program,
  runProgram,
  startAgent,
  startEtcd,
  waitFor,
  withoutEtcd,
} from '../harness/index.ts';
import { startServers } from '../harness/servers.ts';

/**
 * Consul's own clients do what people use them for. `node scripts/clients.mjs` brings them; in CI one that is missing
 * fails.
 */

const run = promisify(execFile);
const ROOT_TOKEN = 'c1c5d7a8-7d8e-4b8e-9d35-8c3c6a3d2f10';
const SOURCES = join(import.meta.dirname, '..', 'clients');
const stops: (() => Promise<unknown>)[] = [];

/** A client that is not installed skips its tests, but where CI=true is set. */
function client(name: string) {
  const found = findClient(name);
  return { ...found, missing: !found.present && process.env.CI !== 'true' };
}

const go = client('go');
const python = client('python');
const node = client('node');
const template = client('consul-template');
const dnsmasq = program('dnsmasq');
const dig = program('dig');

const address = (agent: AgentProcess): { readonly CONSUL_HTTP_ADDR: string } => ({
  CONSUL_HTTP_ADDR: agent.ready.http,
});

async function lines(
  command: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<readonly string[]> {
  const { stdout } = await run(command, [...args], { env: { ...process.env, ...env }, timeout: 60_000 });
  return stdout.trim().split('\n');
}

const exercise = (agent: AgentProcess, tasks: readonly string[], env: Readonly<Record<string, string>> = {}) =>
  lines(go.path, tasks, { ...address(agent), ...env });

/** Starts a program that runs on; what it prints is collected. */
function start(command: string, args: readonly string[], env: Readonly<Record<string, string>>) {
  const child = spawn(command, [...args], { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
  const ended = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
  const stop = async (signal: NodeJS.Signals = 'SIGKILL'): Promise<void> => {
    child.kill(signal);
    await ended;
  };
  stops.push(stop);
  return { output: () => output, ended, stop };
}

afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});

describe('one server', () => {
  let agent: AgentProcess;
  beforeAll(async () => {
    agent = await startAgent({ name: 'dc1-s1', datacenter: 'dc1' });
  });
  afterAll(() => agent?.stop());

  it.skipIf(go.missing)('the Go client: services with sidecars, watches, entries, intentions, queries', async () => {
    expect(await exercise(agent, ['mesh'])).toContain('ok mesh');
    expect(agent.log()).not.toContain('fields that are not known');
  });

  it.skipIf(go.missing)('the Go client: keys, compare and set, blocked readers, transactions', async () => {
    expect(await exercise(agent, ['kv'])).toContain('ok kv');
  });

  it.skipIf(go.missing)('two processes of the Go client contend for a lock, and no count is lost', async () => {
    await Promise.all([1, 2].map(() => exercise(agent, ['lock'], { ROUNDS: '10' })));
    const counted = await agent.http('GET', '/v1/kv/counter?raw');
    expect(counted.body).toBe('20');
  });

  it.skipIf(python.missing)('py-consul: services, watches, queries, keys and locks', async () => {
    const env = { ...address(agent), PYTHONPATH: python.folder, PYTHONDONTWRITEBYTECODE: '1' };
    const said = await lines('python3', [join(SOURCES, 'python', 'exercise.py'), 'services', 'state', 'keys'], env);
    expect(said).toEqual(['ok services', 'ok state', 'ok keys']);
  });

  it.skipIf(node.missing)('npm consul: services, watches, queries, keys and sessions', async () => {
    const env = { ...address(agent), CONSUL_CLIENT: node.folder };
    const file = join(SOURCES, 'node', 'exercise.mjs');
    const said = await lines(process.execPath, [file, 'services', 'state', 'keys'], env);
    expect(said).toEqual(['ok services', 'ok state', 'ok keys']);
  });

  it.skipIf(dnsmasq.missing || dig.missing)('dnsmasq forwards the domain, and follows', async () => {
    const { first: port } = await freePorts(1);
    const dns = portOf(agent.ready.dns ?? '');
    const upstream = `--server=/consul/127.0.0.1#${dns}`;
    const options = ['--keep-in-foreground', '--no-resolv', '--no-hosts', '--conf-file=/dev/null', '--user=root'];
    const listen = [`--port=${port}`, '--listen-address=127.0.0.1', '--bind-interfaces', '--cache-size=0'];
    stops.push(await runProgram(dnsmasq.path, [...options, '--pid-file=', ...listen, upstream], port));
    const ask = () => lines(dig.path, ['+short', '@127.0.0.1', '-p', String(port), 'forwarded.service.consul'], {});
    const register = (status: string) =>
      callAgent(agent, 'PUT', '/v1/catalog/register', {
        Node: 'forwarded',
        Address: '127.0.9.1',
        Service: { Service: 'forwarded', Port: 1 },
        Check: { CheckID: 'alive', Name: 'alive', ServiceID: 'forwarded', Status: status },
      });
    await register('passing');
    await waitFor(async () => (await ask()).includes('127.0.9.1'), { what: 'the address by dnsmasq' });
    await register('critical');
    await waitFor(async () => !(await ask()).includes('127.0.9.1'), { what: 'the address to go' });
  });

  it.skipIf(template.missing)('consul-template renders, and renders again when something changes', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'isthmus-template-'));
    stops.push(async () => rmSync(folder, { recursive: true, force: true }));
    const source = join(folder, 'in.tpl');
    const target = join(folder, 'out.conf');
    writeFileSync(
      source,
      '{{ key "template/greeting" }}:{{ range service "rendered" }}{{ .Address }}:{{ .Port }};{{ end }}\n',
    );
    const rendered = (): string => {
      try {
        return readFileSync(target, 'utf8').trim();
      } catch {
        return '';
      }
    };
    await agent.http('PUT', '/v1/kv/template/greeting', 'hello');
    const register = (port: number) =>
      callAgent(agent, 'PUT', '/v1/catalog/register', {
        Node: 'rendered',
        Address: '10.5.5.5',
        Service: { Service: 'rendered', Port: port },
      });
    await register(1);
    const args = [`-consul-addr=${agent.ready.http}`, `-template=${source}:${target}`, '-log-level=err'];
    start(template.path, args, {});
    await waitFor(async () => rendered() === 'hello:10.5.5.5:1;', { what: 'the first rendering' });
    await agent.http('PUT', '/v1/kv/template/greeting', 'bye');
    await waitFor(async () => rendered() === 'bye:10.5.5.5:1;', { what: 'the key rendered again' });
    await register(2);
    await waitFor(async () => rendered() === 'bye:10.5.5.5:2;', { what: 'the service rendered again' });
  });

  it.skipIf(go.missing)('keys survive a kill', async () => {
    await agent.http('PUT', '/v1/kv/durable', 'kept');
    await agent.kill9();
    await agent.restart();
    expect((await agent.http('GET', '/v1/kv/durable?raw')).body).toBe('kept');
  });

  it.skipIf(go.missing)('the Go client: agents, servers and snapshots', async () => {
    expect(await exercise(agent, ['operator'])).toContain('ok operator');
  });
});

it.skipIf(go.missing)('the fields that requests are compared with are those of the Go client', async () => {
  const { stdout } = await run(join(go.folder, 'fields'));
  const kept = readFileSync(join(import.meta.dirname, '..', 'consul-api', 'fields.json'), 'utf8');
  expect(JSON.parse(stdout)).toEqual(JSON.parse(kept));
});

const noEtcd = withoutEtcd();

describe('two servers', () => {
  it.skipIf(go.missing || noEtcd !== undefined)(
    'of two candidates of the Go client the other leads once the server of the first is dead',
    async () => {
      const etcd = await startEtcd();
      stops.unshift(() => etcd.stop());
      const cluster = await startServers({ etcd, count: 2 });
      stops.unshift(() => cluster.stop());
      const [one, two] = cluster.servers.map(({ agent }) => agent) as [AgentProcess, AgentProcess];
      const first = start(go.path, ['elect'], { ...address(one), NAME: 'first' });
      await waitFor(async () => first.output().includes('leading first'), { what: 'the first to lead' });
      const second = start(go.path, ['elect'], { ...address(two), NAME: 'second' });
      const holder = async (): Promise<string> => (await two.http('GET', '/v1/kv/election/leader?raw')).body;
      expect(await holder()).toBe('first');
      await one.kill9();
      await waitFor(async () => first.output().includes('lost first'), { what: 'the first to know' });
      await waitFor(async () => second.output().includes('leading second'), {
        what: 'the second to lead',
        timeout: 60_000,
      });
      expect(await holder()).toBe('second');
    },
    120_000,
  );
});

describe('one server with access control', () => {
  it.skipIf(go.missing)('the Go client: policies, templates, roles and tokens', async () => {
    const agent = await startAgent({
      name: 'dc1-s1',
      datacenter: 'dc1',
      config: { acl: { enabled: true, default_policy: 'deny', tokens: { initial_management: ROOT_TOKEN } } },
    });
    stops.push(() => agent.stop());
    expect(await exercise(agent, ['acl'], { CONSUL_HTTP_TOKEN: ROOT_TOKEN })).toContain('ok acl');
  });
});
