import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import {
  type AgentProcess,
  assertNoneLeft,
  BINARY,
  callAgent,
  type EtcdCluster,
  isthmus,
  startAgent,
  startEtcd,
  waitFor,
  withoutEtcd,
} from '../harness/index.ts';

const folder = mkdtempSync(join(tmpdir(), 'isthmus-kv-'));
let agent: AgentProcess | undefined;
let etcd: EtcdCluster | undefined;

afterEach(async () => {
  await agent?.stop();
  await etcd?.stop();
  agent = undefined;
  etcd = undefined;
  await assertNoneLeft();
  rmSync(folder, { recursive: true, force: true });
});

const BYTES = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
const FLAGS = '18446744073709551615';
/** Bytes of a key that are no UTF-8. */
const ODD_KEY = '/v1/kv/odd%FF%00%2Fkey';

interface Kept {
  readonly entries: string;
  readonly sessions: string;
  readonly index: number;
}

async function fill(at: AgentProcess): Promise<string> {
  const put = (path: string, body: Buffer | string): Promise<unknown> =>
    fetch(`http://${at.ready.http}${path}`, { method: 'PUT', body }).then((answer) => answer.text());
  expect(await put(`/v1/kv/bytes?flags=${FLAGS}`, BYTES)).toBe('true');
  expect(await put(ODD_KEY, 'odd')).toBe('true');
  expect(await put('/v1/kv/largest', 'x'.repeat(524_288))).toBe('true');
  const { ID } = await callAgent<{ ID: string }>(at, 'PUT', '/v1/session/create', { Name: 'holder', LockDelay: '1s' });
  expect(await callAgent(at, 'PUT', `/v1/kv/lock?acquire=${ID}`)).toBe(true);
  return ID;
}

async function kept(at: AgentProcess): Promise<Kept> {
  const entries = await at.http('GET', '/v1/kv/?recurse');
  const sessions = await at.http('GET', '/v1/session/list');
  expect([entries.status, sessions.status]).toEqual([200, 200]);
  return { entries: entries.body, sessions: sessions.body, index: Number(entries.headers['x-consul-index']) };
}

/** Without the revisions, which a restore sets anew. */
const plain = ({ entries, sessions }: Kept): string =>
  `${entries} ${sessions}`.replace(/"(Create|Modify)Index":\d+/g, '"$1Index":0');

describe('keys, locks and sessions', () => {
  it('are the same after a kill, a restore, and in another store', { timeout: 120_000 }, async () => {
    agent = await startAgent({ name: 'n1', datacenter: 'dc1' });
    const session = await fill(agent);
    const before = await kept(agent);
    expect(before.entries).toContain(`"Flags":${FLAGS}`);
    const raw = await fetch(`http://${agent.ready.http}/v1/kv/bytes?raw`);
    expect(Buffer.from(await raw.arrayBuffer())).toEqual(BYTES);
    expect((await agent.http('GET', `${ODD_KEY}?raw`)).body).toBe('odd');

    await agent.kill9();
    await agent.restart();
    const after = await kept(agent);
    expect([after.entries, after.sessions]).toEqual([before.entries, before.sessions]);
    expect(after.index).toBeGreaterThanOrEqual(before.index);

    const file = join(folder, 'all.snap');
    const address = `-http-addr=${agent.ready.http}`;
    expect(await isthmus(['snapshot', 'save', address, file])).toMatchObject({ code: 0 });
    expect(await callAgent(agent, 'DELETE', '/v1/kv/?recurse')).toBe(true);
    await callAgent(agent, 'PUT', `/v1/session/destroy/${session}`);
    expect(await isthmus(['snapshot', 'restore', address, file])).toMatchObject({ code: 0 });
    const restored = await kept(agent);
    expect(plain(restored)).toBe(plain(before));
    expect(restored.index).toBeGreaterThan(after.index);
    // It is held as before: its session can let go of it, and no one else can have it.
    const { ID } = await callAgent<{ ID: string }>(agent, 'PUT', '/v1/session/create');
    expect(await callAgent(agent, 'PUT', `/v1/kv/lock?acquire=${ID}`)).toBe(false);
    expect(await callAgent(agent, 'PUT', `/v1/kv/lock?release=${session}`)).toBe(true);

    if (withoutEtcd() !== undefined) return;
    etcd = await startEtcd();
    const storage = { engine: 'embedded', etcd: { endpoints: etcd.endpoints } };
    await agent.restart({ storage, ports: { dns: -1 } });
    const there = await kept(agent);
    await agent.stop();
    const moved = await isthmus([
      'store',
      'migrate',
      '-config-file',
      `${agent.dataDir}.json`,
      '-from=embedded',
      '-to=etcd',
    ]);
    expect(moved).toMatchObject({ code: 0 });
    await agent.restart({ storage: { ...storage, engine: 'etcd' } });
    const arrived = await kept(agent);
    expect(plain(arrived)).toBe(plain(there));
    expect(await fetch(`http://${agent.ready.http}/v1/kv/largest?raw`).then((answer) => answer.text())).toHaveLength(
      524_288,
    );
  });

  it('wake who waits for a prefix, also for a deletion, with an index that grew', async () => {
    agent = await startAgent({ name: 'n1', datacenter: 'dc1' });
    await callAgent(agent, 'PUT', '/v1/kv/app/a');
    const at = async (path: string): Promise<number> =>
      Number((await (agent as AgentProcess).http('GET', path)).headers['x-consul-index']);
    const index = await at('/v1/kv/app/?recurse');
    const woken = at(`/v1/kv/app/?recurse&index=${index}&wait=60s`);
    await callAgent(agent, 'PUT', '/v1/kv/other');
    await callAgent(agent, 'DELETE', '/v1/kv/app/a');
    const after = await woken;
    expect(after).toBeGreaterThan(index);
    expect(await at('/v1/kv/app/?recurse')).toBeGreaterThanOrEqual(after);
    await agent.restart();
    expect(await at('/v1/kv/app/?recurse')).toBeGreaterThanOrEqual(after);
  });

  it('end with the check of the service that they depend on', async () => {
    agent = await startAgent({ name: 'n1', datacenter: 'dc1' });
    const check = { CheckID: 'alive', TTL: '1h', Status: 'passing' };
    await callAgent(agent, 'PUT', '/v1/agent/service/register', { Name: 'web', Check: check });
    const checks = async (): Promise<boolean> =>
      (await callAgent<unknown[]>(agent as AgentProcess, 'GET', '/v1/health/checks/web')).length > 0;
    await waitFor(checks, { what: 'the check in the catalog' });
    const wanted = { ServiceChecks: [{ ID: 'alive' }], LockDelay: '1ms' };
    const { ID } = await callAgent<{ ID: string }>(agent, 'PUT', '/v1/session/create', wanted);
    expect(await callAgent(agent, 'PUT', `/v1/kv/l?acquire=${ID}`)).toBe(true);
    await callAgent(agent, 'PUT', '/v1/agent/check/fail/alive');
    const holder = async (): Promise<boolean> => {
      const [entry] = await callAgent<{ Session?: string }[]>(agent as AgentProcess, 'GET', '/v1/kv/l');
      return entry?.Session === undefined;
    };
    await waitFor(holder, { what: 'the lock to be let go of' });
  });
});

describe('isthmus lock', () => {
  /** Starts a holder that writes its name twice into a file, with time between. */
  function start(name: string, file: string, ...flags: string[]) {
    const address = `-http-addr=${(agent as AgentProcess).ready.http}`;
    const script = `echo ${name} begins >> ${file}; sleep 0.3; echo ${name} ends >> ${file}`;
    const child = spawn(BINARY, ['lock', address, ...flags, 'service/x', script], { stdio: 'inherit' });
    return new Promise<number>((resolve) => child.once('close', (code) => resolve(code ?? -1)));
  }

  it('lets one program run at a time, and three with -n 3', { timeout: 60_000 }, async () => {
    agent = await startAgent({ name: 'n1', datacenter: 'dc1' });
    const file = join(mkdtempSync(join(tmpdir(), 'isthmus-lock-')), 'log');
    expect(await Promise.all(['a', 'b', 'c'].map((name) => start(name, file)))).toEqual([0, 0, 0]);
    const lines = readFileSync(file, 'utf8').trim().split('\n');
    expect(lines).toHaveLength(6);
    for (let at = 0; at < 6; at += 2) expect(lines[at + 1]).toBe((lines[at] as string).replace('begins', 'ends'));
    // Nothing is left behind.
    expect((await agent.http('GET', '/v1/kv/?keys')).body).toBe('[]');
    expect(await callAgent(agent, 'GET', '/v1/session/list')).toEqual([]);

    const several = `${file}-n`;
    const codes = await Promise.all(['a', 'b', 'c', 'd'].map((name) => start(name, several, '-n', '2')));
    expect(codes).toEqual([0, 0, 0, 0]);
    let inside = 0;
    for (const line of readFileSync(several, 'utf8').trim().split('\n')) {
      inside += line.endsWith('begins') ? 1 : -1;
      expect(inside).toBeLessThanOrEqual(2);
    }
  });

  it('ends the program when its session is lost, and tells its exit code', { timeout: 60_000 }, async () => {
    agent = await startAgent({ name: 'n1', datacenter: 'dc1' });
    const address = `-http-addr=${agent.ready.http}`;
    const running = isthmus(['lock', address, '-child-exit-code', 'service/x', 'sleep 600']);
    const holder = async (): Promise<string | undefined> => {
      const answer = await (agent as AgentProcess).http('GET', '/v1/kv/service/x/.lock');
      return answer.status === 200 ? answer.json<[{ Session?: string }]>()[0].Session : undefined;
    };
    await waitFor(async () => (await holder()) !== undefined, { what: 'the lock to be held' });
    await callAgent(agent, 'PUT', `/v1/session/destroy/${await holder()}`);
    const { code, err } = await running;
    expect(err).toContain('Lock lost, killing child');
    expect(code).toBe(2);
    expect(await isthmus(['lock', address, '-child-exit-code', 'y', 'exit 3'])).toMatchObject({
      code: 2,
      err: 'Error running handler: exit status 3\n',
    });
    expect(await isthmus(['lock', address, '-shell=false', 'z', 'echo', '-n', 'held'])).toMatchObject({
      code: 0,
      out: 'held',
    });
    await callAgent(agent, 'PUT', '/v1/kv/taken/.lock');
    expect((await isthmus(['lock', address, 'taken', 'true'])).err).toContain('does not match lock use');
  });
});
