import { X509Certificate } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { HttpAnswer } from '../harness/http.ts';
import { type InProcessAgent, startInProcess } from '../harness/in-process-agent.ts';
import { waitFor } from '../harness/wait-for.ts';
import { ShiftedClock } from './shifted-clock.ts';

/** A secondary whose primary is gone for a day, by the clock that both share. */

const ROOT = 'b1a7c0de-0000-4000-8000-000000000001';
const REPLICATION = 'b1a7c0de-0000-4000-8000-000000000002';
const WEB = 'b1a7c0de-0000-4000-8000-000000000003';
const UNKNOWN = 'b1a7c0de-0000-4000-8000-000000000004';
const HOUR = 3_600_000;

const clock = new ShiftedClock();
let dc1: InProcessAgent;
let dc2: InProcessAgent;

const ask = (agent: InProcessAgent, method: string, path: string, body?: object, token = ROOT): Promise<HttpAnswer> =>
  agent.http(method, path, body, { 'x-consul-token': token });

async function ok<T>(agent: InProcessAgent, method: string, path: string, body?: object, token = ROOT): Promise<T> {
  const answer = await ask(agent, method, path, body, token);
  expect(`${method} ${path}: ${answer.status} ${answer.status === 200 ? '' : answer.body}`).toMatch(/: 200 $/);
  return (answer.body === '' ? undefined : answer.json()) as T;
}

/** Lets what fell due happen, sockets included. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

const ageOf = ({ headers }: HttpAnswer): number => Number(headers['x-consul-lastcontact'] ?? 0);

beforeAll(async () => {
  const acl = { enabled: true, default_policy: 'deny', enable_token_replication: true };
  const start = (name: string, datacenter: string, tokens: object, more: object = {}): Promise<InProcessAgent> =>
    startInProcess({
      name,
      datacenter,
      clock,
      config: { primary_datacenter: 'dc1', acl: { ...acl, tokens }, log_level: 'warn', ...more },
    });
  dc1 = await start('a', 'dc1', { initial_management: ROOT, agent: ROOT });
  await ok(dc1, 'PUT', '/v1/acl/token', { SecretID: REPLICATION, Roles: [{ Name: 'builtin/replication' }] });
  await ok(dc1, 'PUT', '/v1/acl/token', { SecretID: WEB, ServiceIdentities: [{ ServiceName: 'web' }] });
  await ok(dc1, 'PUT', '/v1/connect/intentions/exact?source=api&destination=web', {
    SourceType: 'consul',
    Action: 'allow',
  });
  dc2 = await start('b', 'dc2', { replication: REPLICATION }, { retry_join_wan: [dc1.ready.serf_wan] });
  await waitFor(
    async () => {
      const [tokens, roots, check] = await Promise.all([
        ask(dc2, 'GET', '/v1/acl/tokens'),
        ask(dc2, 'GET', '/v1/connect/ca/roots'),
        ask(dc2, 'GET', '/v1/connect/intentions/check?source=api&destination=web'),
      ]);
      return tokens.body.includes('"web"') && roots.status === 200 && check.body.includes('true');
    },
    { what: 'replication to dc2' },
  );
  await waitFor(async () => (await ask(dc2, 'GET', '/v1/agent/connect/ca/leaf/web', undefined, WEB)).status === 200, {
    what: 'the intermediate of dc2',
  });
});

afterAll(() => dc2?.stop());

describe('a secondary that is cut off for a day', () => {
  it('tells no age while it follows', async () => {
    const answer = await ask(dc2, 'GET', '/v1/connect/intentions');
    expect(ageOf(answer)).toBe(0);
  });

  it('goes on: registrations, known tokens, intention checks, leaves of new instances, age of answers', async () => {
    await dc1.stop();
    for (let step = 0; step < 144; step += 1) {
      clock.advance(HOUR / 6);
      await settle();
    }
    // Known tokens, also with what they may not do.
    expect((await ask(dc2, 'GET', '/v1/acl/token/self', undefined, WEB)).status).toBe(200);
    expect((await ask(dc2, 'GET', '/v1/agent/self', undefined, WEB)).body).toContain('Permission denied');
    await ok(dc2, 'PUT', '/v1/agent/service/register', { Name: 'web', ID: 'web-new', Port: 81 }, WEB);
    await waitFor(
      async () => (await ok<unknown[]>(dc2, 'GET', '/v1/catalog/service/web', undefined, WEB)).length === 1,
      { what: 'the new instance in the catalog' },
    );
    for (const service of ['web', 'never-asked-for']) {
      const token = service === 'web' ? WEB : ROOT;
      const leaf = await ok<{ CertPEM: string }>(dc2, 'GET', `/v1/agent/connect/ca/leaf/${service}`, undefined, token);
      expect(Date.parse(new X509Certificate(leaf.CertPEM).validTo)).toBeGreaterThan(clock.now() + 24 * HOUR);
    }
    const check = await ask(dc2, 'GET', '/v1/connect/intentions/check?source=api&destination=web');
    expect(check.json()).toEqual({ Allowed: true });
    for (const path of [
      '/v1/connect/intentions',
      '/v1/config/service-intentions',
      '/v1/acl/policies',
      '/v1/acl/tokens',
    ])
      expect(ageOf(await ask(dc2, 'GET', path)), path).toBeGreaterThanOrEqual(24 * HOUR - 60_000);
    expect(ageOf(check)).toBeGreaterThanOrEqual(24 * HOUR - 60_000);
    expect(ageOf(await ask(dc2, 'GET', '/v1/catalog/nodes'))).toBe(0); // its own
    const uri = 'spiffe://11111111-2222-3333-4444-555555555555.consul/ns/default/dc/dc2/svc/api';
    const connection = { Target: 'web', ClientCertURI: uri, ClientCertSerial: '01' };
    await ok(dc2, 'POST', '/v1/agent/connect/authorize', connection, WEB);
    const verdict = await ask(dc2, 'POST', '/v1/agent/connect/authorize', connection, WEB);
    expect(verdict.json()).toMatchObject({ Authorized: true });
    expect(Number(verdict.headers.age)).toBeGreaterThanOrEqual(24 * 3_600 - 60);

    // A token that no one here has heard of can't be asked about: it may do nothing.
    const unknown = await ask(dc2, 'PUT', '/v1/agent/service/register', { Name: 'web' }, UNKNOWN);
    expect(unknown.status).toBe(403);
    // What only the primary decides says so, and does not hang.
    expect((await ask(dc2, 'PUT', '/v1/acl/policy', { Name: 'x' })).body).toBe('No path to datacenter');

    const status = await ok<{ Running: boolean; LastSuccess: string; LastError: string }>(
      dc2,
      'GET',
      '/v1/acl/replication',
    );
    expect(status.Running).toBe(false);
    expect(clock.now() - Date.parse(status.LastSuccess)).toBeGreaterThanOrEqual(24 * HOUR - 60_000);
  }, 60_000);
});
