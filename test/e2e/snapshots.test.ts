import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { CaRoots } from '../../src/model/ca.ts';
import type { ReplicationStatus } from '../../src/model/replication.ts';
import {
  type AgentProcess,
  assertNoneLeft,
  BINARY,
  callAgent,
  isthmus,
  LongLived,
  startAgent,
  startBed,
  startLoad,
  waitFor,
} from '../harness/index.ts';
import { certificatesIn, chainOfLeaf, rootOf } from './certificates.ts';

const running: { stop(): Promise<unknown> }[] = [];
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'isthmus-snapshots-'));
});

afterEach(async () => {
  for (const process of running.splice(0).reverse()) await process.stop();
  rmSync(folder, { recursive: true });
  await assertNoneLeft();
});

async function start(options: Parameters<typeof startAgent>[0]): Promise<AgentProcess> {
  const agent = await startAgent(options);
  running.push(agent);
  return agent;
}

const MANAGEMENT = '8d4a7e2c-93f5-4f0e-b7c9-0d6f1f0a5b11';
const ACL = { acl: { enabled: true, default_policy: 'deny', tokens: { master: MANAGEMENT, agent: MANAGEMENT } } };

async function rootsOf(agent: AgentProcess): Promise<CaRoots> {
  return callAgent<CaRoots>(agent, 'GET', '/v1/connect/ca/roots');
}

describe('a server that lost everything', () => {
  it('is itself again after a restore: certificates, intentions, tokens, queries, services', async () => {
    const first = await start({ name: 'first', datacenter: 'dc1', config: ACL });
    const as = (token: string) => ({ 'X-Consul-Token': token });
    const put = async (path: string, body: object): Promise<unknown> => {
      const answer = await first.http('PUT', path, body, as(MANAGEMENT));
      expect(answer.status, answer.body).toBe(200);
      return answer.body === '' || !/^[{["]/.test(answer.body) ? undefined : answer.json();
    };
    await put('/v1/catalog/register', {
      Node: 'elsewhere',
      Address: '10.0.0.9',
      Service: { ID: 'db1', Service: 'db', Port: 5432 },
    });
    await put('/v1/connect/intentions/exact?source=web&destination=db', { Action: 'deny' });
    await put('/v1/config', { Kind: 'service-defaults', Name: 'web', Protocol: 'http', Meta: { later: 'field' } });
    await put('/v1/acl/policy', {
      Name: 'db-read',
      Rules: 'service "db" { policy = "read" }\nnode_prefix "" { policy = "read" }',
    });
    const token = (await put('/v1/acl/token', { Policies: [{ Name: 'db-read' }] })) as { SecretID: string };
    const query = await first.http('POST', '/v1/query', { Name: 'q', Service: { Service: 'db' } }, as(MANAGEMENT));
    expect(query.status).toBe(200);
    const leaf = await first.http('GET', '/v1/agent/connect/ca/leaf/web', undefined, as(MANAGEMENT));
    const before = await rootsOf(first);

    // Saved by the command, for its owner only, and no one but management may.
    const file = join(folder, 'backup.snap');
    const saved = await isthmus(['snapshot', 'save', '-http-addr', first.ready.http, '-token', MANAGEMENT, file]);
    expect(saved).toEqual({
      code: 0,
      out: expect.stringMatching(/^Saved and verified snapshot to index \d+\n$/),
      err: expect.stringMatching(/open with the file snapshot.key in the data directory of first alone: keep a copy/),
    });
    const key = join(first.dataDir, 'snapshot.key');
    expect(statSync(key).mode & 0o777).toBe(0o600);
    expect(gunzipSync(await readFile(file)).includes('PRIVATE KEY')).toBe(false);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    for (const method of ['GET', 'PUT']) {
      const refused = await first.http(method, '/v1/snapshot', undefined, as(token.SecretID));
      expect([refused.status, refused.body]).toEqual([403, 'Permission denied']);
    }
    const index = Number(
      (await first.http('GET', '/v1/catalog/services', undefined, as(MANAGEMENT))).headers['x-consul-index'],
    );
    await first.stop();

    const second = await start({ name: 'second', datacenter: 'dc1', config: ACL });
    expect((await rootsOf(second)).TrustDomain).not.toBe(before.TrustDomain);
    const restore = ['snapshot', 'restore', '-http-addr', second.ready.http, '-token', MANAGEMENT, file];
    const sealed = await isthmus(restore);
    expect([sealed.code, sealed.err]).toEqual([
      1,
      expect.stringMatching(/are sealed: .*copy that server's snapshot\.key/s),
    ]);
    copyFileSync(key, join(second.dataDir, 'snapshot.key')); // as an operator does who kept a copy of it
    const restored = await isthmus(restore);
    expect(restored).toEqual({ code: 0, out: 'Restored snapshot\n', err: '' });

    const get = async <T>(path: string, secret = MANAGEMENT): Promise<T> => {
      const answer = await second.http('GET', path, undefined, as(secret));
      expect(answer.status, `${path}: ${answer.body}`).toBe(200);
      return answer.json<T>();
    };
    const after = await rootsOf(second);
    expect(after.TrustDomain).toBe(before.TrustDomain);
    expect(after.ActiveRootID).toBe(before.ActiveRootID);
    const pems = after.Roots.map((root) => root.RootCert);
    const old = leaf.json<{ CertPEM: string }>().CertPEM;
    expect(rootOf(certificatesIn(old), pems), 'a leaf issued before').toBeDefined();
    const fresh = await get<{ CertPEM: string }>('/v1/agent/connect/ca/leaf/web');
    expect(rootOf(certificatesIn(fresh.CertPEM), pems), 'a leaf issued now').toBeDefined();
    expect(await get<unknown[]>('/v1/catalog/service/db')).toMatchObject([{ Node: 'elsewhere', ServicePort: 5432 }]);
    expect(await get<unknown[]>('/v1/catalog/service/db', token.SecretID)).toHaveLength(1);
    expect(await get('/v1/connect/intentions/check?source=web&destination=db')).toEqual({ Allowed: false });
    expect(await get('/v1/config/service-defaults/web')).toMatchObject({ Protocol: 'http', Meta: { later: 'field' } });
    expect(await get('/v1/query/q/execute')).toMatchObject({ Nodes: [{ Service: { ID: 'db1' } }] });
    const services = await second.http('GET', '/v1/catalog/services', undefined, as(MANAGEMENT));
    expect(Number(services.headers['x-consul-index'])).toBeGreaterThan(index);
    // The server itself is registered under its present name.
    await waitFor(
      async () => (await get<{ Node: string }[]>('/v1/catalog/service/consul')).some(({ Node }) => Node === 'second'),
      {
        what: 'the registration of the server',
      },
    );
    // And it goes on from there after a restart.
    await second.restart();
    expect((await rootsOf(second)).ActiveRootID).toBe(before.ActiveRootID);
    expect(await get('/v1/connect/intentions/check?source=web&destination=db')).toEqual({ Allowed: false });
  }, 60_000);

  it('refuses what is damaged, of another datacenter, trust domain or format, and nothing has changed', async () => {
    const one = await start({ name: 'one', datacenter: 'dc1' });
    const other = await start({ name: 'other', datacenter: 'dc2', config: { primary_datacenter: 'dc2' } });
    const file = join(folder, 'one.snap');
    expect((await isthmus(['snapshot', 'save', '-http-addr', one.ready.http, file])).code).toBe(0);
    const archive = await readFile(file);
    await callAgent(one, 'PUT', '/v1/agent/service/register', { Name: 'later', Port: 1 });
    await waitFor(async () => (await callAgent<unknown[]>(one, 'GET', '/v1/catalog/service/later')).length === 1, {
      what: 'the service',
    });
    const before = await one.http('GET', '/v1/catalog/services');

    const tar = gunzipSync(archive);
    const tampered = Buffer.from(tar);
    tampered.write('two', tampered.indexOf('one', tampered.indexOf('state/00000001.jsonl') + 512));
    const refusals: [string, Buffer, RegExp][] = [
      ['cut off', archive.subarray(0, archive.length - 20), /is damaged/],
      ['tampered with', gzipSync(tampered), /the SHA-256 of state\/00000001.jsonl does not match/],
      ['of an older format', gzipSync(reformat(tar, 0)), /has format 0/],
      ['no snapshot', Buffer.from('hello'), /is damaged/],
    ];
    for (const [what, bytes, text] of refusals) {
      const answer = await one.http('PUT', '/v1/snapshot', bytes);
      expect([answer.status, answer.body], what).toEqual([500, expect.stringMatching(text)]);
    }
    const foreign = await isthmus(['snapshot', 'restore', '-http-addr', other.ready.http, file]);
    expect(foreign.code).toBe(1);
    expect(foreign.err).toMatch(/snapshot is of datacenter "dc1" and this is datacenter "dc2"; nothing was changed/);
    const after = await one.http('GET', '/v1/catalog/services');
    expect([after.body, after.headers['x-consul-index']]).toEqual([before.body, before.headers['x-consul-index']]);

    // Another trust domain is refused as soon as somebody's certificates are at stake, unless forced.
    const third = await start({ name: 'third', datacenter: 'dc1' });
    await callAgent(third, 'PUT', '/v1/agent/service/register', { Name: 'busy', Port: 1 });
    await waitFor(async () => (await callAgent<unknown[]>(third, 'GET', '/v1/catalog/service/busy')).length === 1, {
      what: 'the service',
    });
    const own = (await rootsOf(third)).TrustDomain;
    const stranger = await isthmus(['snapshot', 'restore', '-http-addr', third.ready.http, file]);
    expect(stranger.err).toMatch(/the snapshot's trust domain is .* and that of this datacenter is .*-force/);
    expect((await rootsOf(third)).TrustDomain).toBe(own);
    copyFileSync(join(one.dataDir, 'snapshot.key'), join(third.dataDir, 'snapshot.key'));
    const forced = await isthmus(['snapshot', 'restore', '-force', '-http-addr', third.ready.http, file]);
    expect(forced).toMatchObject({ code: 0 });
    expect((await rootsOf(third)).TrustDomain).toBe((await rootsOf(one)).TrustDomain);
    // What this node's agent has is registered again, at once.
    await waitFor(async () => (await callAgent<unknown[]>(third, 'GET', '/v1/catalog/service/busy')).length === 1, {
      what: 'the service after the restore',
    });
  }, 60_000);
});

/** The same archive with another format number, and sums that match. */
function reformat(tar: Buffer, format: number): Buffer {
  const changed = Buffer.from(tar);
  changed.write(`"Format": ${format}`, changed.indexOf('"Format": 1'));
  return changed;
}

describe('a restore while everything runs', () => {
  it('is one step forward for clients, breaks no connection, and is followed by the other datacenter', async () => {
    const bed = await startBed();
    running.push(bed);
    const { dc1, dc2 } = bed;
    const { web } = await bed.webToDb();
    for (let n = 0; n < 10; n += 1)
      await callAgent(dc1, 'PUT', `/v1/connect/intentions/exact?source=s${n}&destination=kept`, { Action: 'deny' });
    const file = join(folder, 'dc1.snap');
    // By way of the other datacenter's agent.
    const saved = await isthmus(['snapshot', 'save', '-http-addr', dc2.ready.http, '-datacenter', 'dc1', file]);
    expect(saved).toMatchObject({ code: 0 });
    const { out } = await isthmus(['snapshot', 'inspect', '-format', 'json', file]);
    expect(JSON.parse(out)).toMatchObject({
      Meta: { Datacenter: 'dc1', PrivateKeys: 'sealed', SealedWith: 'snapshot.key' },
    });
    await callAgent(dc1, 'PUT', '/v1/connect/intentions/exact?source=late&destination=kept', { Action: 'deny' });
    const check = (agent: AgentProcess, source: string) =>
      callAgent<{ Allowed: boolean }>(agent, 'GET', `/v1/connect/intentions/check?source=${source}&destination=kept`);
    await waitFor(async () => !(await check(dc2, 'late')).Allowed, { what: 'the intention in dc2' });

    const load = await startLoad(web.upstreamPort, 100, 4);
    running.push(load);
    const long = await LongLived.open(web.upstreamPort);
    // A client that follows, and one that writes all the time.
    const indexes: number[] = [];
    let following = true;
    const follower = (async () => {
      while (following) {
        const wait = indexes.length === 0 ? '' : `&index=${indexes.at(-1)}&wait=5s`;
        const answer = await dc1.http('GET', `/v1/catalog/services?x${wait}`);
        expect(answer.status).toBe(200);
        expect(answer.body).toContain('"web"');
        indexes.push(Number(answer.headers['x-consul-index']));
      }
    })();
    let written = 0;
    const writer = (async () => {
      while (following) {
        const entry = { Node: 'busy', Address: '10.0.0.1', Service: { Service: `n${written % 5}`, Port: written + 1 } };
        const answer = await dc1.http('PUT', '/v1/catalog/register', entry);
        expect(answer.status, answer.body).toBe(200);
        written += 1;
      }
    })();
    await waitFor(async () => indexes.length > 3 && written > 20, { what: 'clients at work' });
    const newest = Math.max(...indexes);
    const restored = await isthmus(['snapshot', 'restore', '-http-addr', dc2.ready.http, '-datacenter', 'dc1', file]);
    expect(restored).toEqual({ code: 0, out: 'Restored snapshot\n', err: '' });
    expect(await check(dc1, 'late')).toEqual({ Allowed: true });
    await waitFor(async () => (await check(dc2, 'late')).Allowed, { what: 'dc2 to follow the restored primary' });
    expect(await check(dc2, 's3')).toEqual({ Allowed: false });
    const at = written;
    await waitFor(async () => written > at + 20 && (indexes.at(-1) ?? 0) > newest, { what: 'clients going on' });
    following = false;
    await Promise.all([follower, writer]);
    expect(indexes).toEqual([...indexes].sort((a, b) => a - b));
    // Certificates and sidecars did not notice.
    await long.ask();
    long.close();
    await waitFor(async () => load.counts.opened > 50, { what: 'new connections before and after the restore' });
    const counts = await load.stop();
    running.pop();
    expect(counts.errors).toEqual([]);
    expect([counts.failed, counts.longLivedFailed]).toEqual([0, 0]);
    const status = await callAgent<ReplicationStatus>(dc2, 'GET', '/v1/internal/replication');
    expect(status.Kinds.map((kind) => kind.State)).toEqual(status.Kinds.map(() => 'following'));
    expect(
      rootOf(
        await chainOfLeaf(dc2, 'db'),
        (await rootsOf(dc1)).Roots.map((root) => root.RootCert),
      ),
    ).toBeDefined();
  }, 90_000);

  it('to a state without most of the other datacenter’s rows is followed only when confirmed there', async () => {
    const bed = await startBed();
    running.push(bed);
    const { dc1, dc2 } = bed;
    const file = join(folder, 'empty.snap');
    expect((await isthmus(['snapshot', 'save', '-http-addr', dc1.ready.http, file])).code).toBe(0);
    for (let n = 0; n < 30; n += 1)
      await callAgent(dc1, 'PUT', `/v1/connect/intentions/exact?source=a&destination=d${n}`, { Action: 'deny' });
    const count = async (agent: AgentProcess) =>
      (await callAgent<unknown[]>(agent, 'GET', '/v1/connect/intentions')).length;
    await waitFor(async () => (await count(dc2)) === 30, { what: 'the intentions in dc2' });
    expect((await isthmus(['snapshot', 'restore', '-http-addr', dc1.ready.http, file])).code).toBe(0);
    expect(await count(dc1)).toBe(0);
    const entries = async () =>
      (await callAgent<ReplicationStatus>(dc2, 'GET', '/v1/internal/replication')).Kinds.find(
        (kind) => kind.Kind === 'config-entries',
      );
    await waitFor(async () => (await entries())?.State === 'refused', { what: 'the refusal in dc2' });
    expect((await entries())?.Reason).toMatch(/30 entries are here.*nothing was deleted/);
    expect(await count(dc2)).toBe(30);
    const accepted = await isthmus(['replication', 'accept-source', '-http-addr', dc2.ready.http, 'config-entries']);
    expect(accepted.code).toBe(0);
    await waitFor(async () => (await count(dc2)) === 0, { what: 'dc2 to follow' });

    // A secondary that is restored goes on where the snapshot was, and catches up with the primary.
    const own = join(folder, 'dc2.snap');
    expect((await isthmus(['snapshot', 'save', '-http-addr', dc2.ready.http, own])).code).toBe(0);
    const leaf = (await chainOfLeaf(dc2, 'db'))[0]?.fingerprint256;
    for (let n = 0; n < 3; n += 1)
      await callAgent(dc1, 'PUT', `/v1/connect/intentions/exact?source=a&destination=e${n}`, { Action: 'deny' });
    await waitFor(async () => (await count(dc2)) === 3, { what: 'the new intentions in dc2' });
    expect((await isthmus(['snapshot', 'restore', '-http-addr', dc2.ready.http, own])).code).toBe(0);
    await waitFor(async () => (await count(dc2)) === 3, { what: 'dc2 to catch up' });
    expect((await chainOfLeaf(dc2, 'db'))[0]?.fingerprint256).toBe(leaf);
  }, 90_000);
});

it('saves again and again into a folder, and keeps the newest', async () => {
  const agent = await start({ name: 'one', datacenter: 'dc1' });
  writeFileSync(join(folder, 'isthmus-dc1-20200101T000000Z-5.snap'), 'old');
  writeFileSync(join(folder, 'mine.snap'), 'not ours');
  const args = ['snapshot', 'save', '-every', '1h', '-keep', '1', '-http-addr', agent.ready.http, folder];
  const saver = spawn(BINARY, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(saver, 'exit');
  running.push({
    stop: async () => {
      saver.kill('SIGTERM');
      expect(await ended).toEqual([0, null]);
    },
  });
  for await (const line of createInterface({ input: saver.stdout })) if (line.startsWith('Removed ')) break;
  expect(readdirSync(folder).filter((name) => name.endsWith('.snap'))).toEqual([
    expect.stringMatching(/^isthmus-dc1-2\d{7}T\d{6}Z-\d+\.snap$/),
    'mine.snap',
  ]);
  expect(readdirSync(folder).join()).not.toContain('20200101');
});
