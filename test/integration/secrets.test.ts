import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { COMMANDS } from '../../src/cli/commands.ts';
import { runCli } from '../../src/cli/run.ts';
import { systemIo } from '../../src/cli/system-io.ts';
import { readTar, type TarFile } from '../../src/snapshot/tar.ts';
import { exchange, WHOLE_MS } from '../fuzz/exchange.ts';
import { httpRequest } from '../harness/http.ts';
import { type InProcessAgent, startInProcess } from '../harness/in-process-agent.ts';

/** Secrets are given to an agent in every way that there is; then they are looked for wherever it says something. */

const secret = (last: string): string => `5ec2e700-0000-4000-8000-0000000000${last}`;
const S = {
  root: secret('01'),
  agent: secret('02'),
  recovery: secret('03'),
  replication: secret('04'),
  ofService: secret('05'),
  ofCheck: secret('06'),
  setByApi: secret('07'),
  inUrl: secret('08'),
  bearer: secret('09'),
  unknown: secret('0a'),
  made: secret('0b'),
  inHeader: 'Basic c2VjcmV0OnBhc3N3b3Jk',
} as const;

let agent: InProcessAgent;
let folder: string;
const answers: string[] = [];

/** Whatever is answered is kept, but for answers that are meant to hold the secret. */
async function ask(
  method: string,
  path: string,
  options: { token?: string; body?: unknown; headers?: Record<string, string>; hide?: boolean } = {},
) {
  const { token, body, headers, hide } = options;
  const answer = await httpRequest(`http://${agent.ready.http}${path}`, {
    method,
    body: body as object,
    headers: { ...(token === undefined ? {} : { 'x-consul-token': token }), ...headers },
  });
  if (!hide) answers.push(`${JSON.stringify(answer.headers)}\n${answer.body}`);
  return answer;
}

async function filesOf(archive: string): Promise<TarFile[]> {
  const files: TarFile[] = [];
  const bytes = gunzipSync(readFileSync(archive));
  const source = (async function* () {
    yield bytes;
  })();
  for await (const file of readTar(source, 64 * 1024 * 1024)) files.push(file);
  return files;
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'isthmus-secrets-'));
  const keyFile = join(folder, 'ca.key');
  writeFileSync(keyFile, randomBytes(32).toString('hex'), { mode: 0o600 });
  agent = await startInProcess({
    name: 'n1',
    datacenter: 'dc1',
    config: {
      log_level: 'debug',
      log_file: join(folder, 'logs', 'agent.log'),
      audit: { enabled: true },
      connect: { ca_key_encryption_file: keyFile },
      acl: {
        enabled: true,
        default_policy: 'deny',
        enable_token_persistence: true,
        tokens: { initial_management: S.root, agent: S.agent, agent_recovery: S.recovery, replication: S.replication },
      },
      service: { name: 'configured', token: S.ofService },
      check: {
        name: 'c',
        http: 'http://127.0.0.1:1/',
        interval: '1h',
        header: { Authorization: [S.inHeader] },
        token: S.ofCheck,
      },
    },
  });
});

afterAll(async () => {
  await agent?.stop();
  rmSync(folder, { recursive: true, force: true });
});

describe('secrets', () => {
  it('go in by every way', async () => {
    const grants = { Policies: [{ Name: 'global-management' }] };
    for (const SecretID of [S.agent, S.inUrl, S.bearer, S.made])
      await ask('PUT', '/v1/acl/token', { token: S.root, body: { SecretID, ...grants }, hide: true });
    expect((await ask('GET', `/v1/catalog/nodes?token=${S.inUrl}`)).status).toBe(200);
    expect((await ask('GET', '/v1/catalog/nodes', { headers: { authorization: `Bearer ${S.bearer}` } })).status).toBe(
      200,
    );
    for (const [method, path] of [
      ['GET', '/v1/catalog/nodes'],
      ['GET', '/v1/nothing/here'],
      ['DELETE', '/v1/catalog/nodes'],
      ['GET', '/v1/health/state/bad'],
      ['PUT', '/v1/config'],
      ['PUT', '/v1/agent/service/register'],
      ['GET', '/v1/catalog/nodes?wait=x&index=1'],
      ['GET', '/v1/query/none/execute'],
    ] as const) {
      for (const token of [S.inUrl, S.unknown]) {
        await ask(method, `${path}${path.includes('?') ? '&' : '?'}token=${token}`, {
          body: method === 'PUT' ? '{' : undefined,
        });
        await ask(method, path, { token, body: method === 'PUT' ? '{"Token":' : undefined });
      }
    }
    await ask('GET', `/v1/kv/a?dc=nowhere&token=${S.inUrl}`);
    await ask('GET', `/v1/catalog/nodes?dc=nowhere&token=${S.inUrl}`);
    await ask('PUT', '/v1/acl/token', { token: S.root, body: { SecretID: S.made } }); // in use already
    await ask('PUT', '/v1/acl/token', { token: S.root, body: { SecretID: `${S.made}x` } });
    await ask('PUT', '/v1/agent/token/default', { token: S.root, body: { Token: S.setByApi } });
    await ask('PUT', '/v1/agent/token/none', { token: S.root, body: { Token: S.setByApi } });
    await ask('PUT', '/v1/agent/service/register', {
      token: S.root,
      body: { Name: 'web', Token: S.ofService, Check: { TTL: '1h' } },
    });
    await ask('PUT', '/v1/agent/reload', { token: S.root });
    const port = Number(agent.ready.http?.split(':')[1]);
    for (const request of [
      `GET /v1/catalog/nodes?token=${S.inUrl} HTTP/1.1\r\nBad Header\r\n\r\n`,
      `GET /v1/catalog/nodes HTTP/9.9\r\nX-Consul-Token: ${S.inUrl}\r\n\r\n`,
      `GET /${'x'.repeat(40_000)}?token=${S.inUrl} HTTP/1.1\r\nHost: x\r\n\r\n`,
    ])
      answers.push((await exchange(port, Buffer.from(request), WHOLE_MS)).toString());
  });

  it('come out in no answer, log, metric, audit record or support bundle', async () => {
    for (const path of [
      '/v1/agent/self',
      '/v1/agent/metrics',
      '/v1/agent/metrics?format=prometheus',
      '/v1/agent/services',
      '/v1/agent/service/web',
      '/v1/agent/checks',
      '/v1/agent/monitor?recent&loglevel=debug',
      '/v1/acl/tokens',
      '/v1/acl/policies',
      '/v1/connect/ca/configuration',
      '/v1/internal/replication',
    ])
      expect((await ask('GET', path, { token: S.root })).status, path).toBe(200);
    const archive = join(folder, 'bundle.tar.gz');
    const out: string[] = [];
    const io = {
      ...systemIo(),
      out: (text: string) => void out.push(text),
      err: (text: string) => void out.push(text),
    };
    const args = ['-http-addr', agent.ready.http ?? '', '-token', S.root, '-output', archive, '-duration', '0s'];
    expect(await runCli(['debug', ...args], COMMANDS, io), out.join('')).toBe(0);
    expect(statSync(archive).mode & 0o777).toBe(0o600);
    const bundle = await filesOf(archive);
    const names = bundle.map(({ name }) => name);
    for (const name of [
      'index.json',
      'agent.json',
      'metrics-0.json',
      'metrics.prom',
      'agent.log',
      'ca-status.json',
      'replication.json',
      'links.json',
    ])
      expect(names).toContain(name);
    expect(bundle.find(({ name }) => name === 'errors.json')?.data.toString()).toBeUndefined();
    expect(bundle.find(({ name }) => name === 'agent.log')?.data.toString()).toContain('agent is ready');

    const said: Record<string, string> = {
      answers: answers.join('\n'),
      'the log': agent.log(),
      'the log file': readFileSync(join(folder, 'logs', 'agent.log'), 'utf8'),
      'the audit log': readFileSync(join(agent.dataDir, 'audit', 'audit.json'), 'utf8'),
      'the command': out.join(''),
    };
    for (const { name, data } of bundle) said[`${name} of the bundle`] = data.toString();
    expect(said['the log']?.length).toBeGreaterThan(1_000);
    expect(said['the audit log']).toContain('/v1/config');
    for (const [where, text] of Object.entries(said)) {
      for (const [what, value] of Object.entries(S)) expect(text.includes(value), `${what} in ${where}`).toBe(false);
      expect(text.includes('PRIVATE KEY'), `a private key in ${where}`).toBe(false);
    }
  });

  it('lie in files for their owner alone', () => {
    const found: string[] = [];
    const walk = (path: string): void => {
      const { mode } = statSync(path);
      if ((mode & 0o077) !== 0) found.push(`${path} ${(mode & 0o777).toString(8)}`);
      if (statSync(path).isDirectory()) for (const name of readdirSync(path)) walk(join(path, name));
    };
    walk(agent.dataDir);
    walk(join(folder, 'logs'));
    expect(found).toEqual([]);
    // The test sees what it is meant to see: secrets that outlive a restart are there.
    expect(readFileSync(join(agent.dataDir, 'acl-tokens.json'), 'utf8')).toContain(S.setByApi);
  });
});
