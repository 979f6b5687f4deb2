import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type InProcessAgent, startInProcess } from '../harness/in-process-agent.ts';
import { waitFor } from '../harness/wait-for.ts';

/** Changes in two datacenters, as their audit logs tell them. */

const ROOT = 'b1a7c0de-0000-4000-8000-000000000001';
const REPLICATION = 'b1a7c0de-0000-4000-8000-000000000002';
const WEB = 'b1a7c0de-0000-4000-8000-000000000003';

interface Payload {
  readonly type: string;
  readonly auth: { readonly accessor_id: string };
  readonly request: Readonly<Record<string, unknown>>;
  readonly response: { readonly status: string; readonly verdict: string; readonly error?: string };
}

let dc1: InProcessAgent;
let dc2: InProcessAgent;
const accessors: Record<string, string> = {};

const send = (agent: InProcessAgent, method: string, path: string, body?: object, token = ROOT) =>
  agent.http(method, path, body, token === '' ? {} : { 'x-consul-token': token });

const textOf = (agent: InProcessAgent): string => readFileSync(join(agent.dataDir, 'audit', 'audit.json'), 'utf8');
const recordsOf = (agent: InProcessAgent): Payload[] =>
  textOf(agent)
    .trimEnd()
    .split('\n')
    .map((line) => (JSON.parse(line) as { payload: Payload }).payload);
const last = (agent: InProcessAgent, type = 'HTTPEvent'): Payload | undefined =>
  recordsOf(agent)
    .filter((record) => record.type === type)
    .at(-1);

beforeAll(async () => {
  const acl = { enabled: true, default_policy: 'deny', enable_token_replication: true };
  const start = (name: string, datacenter: string, tokens: object, more: object = {}): Promise<InProcessAgent> =>
    startInProcess({
      name,
      datacenter,
      config: { primary_datacenter: 'dc1', acl: { ...acl, tokens }, audit: { enabled: true }, ...more },
    });
  dc1 = await start('a', 'dc1', { initial_management: ROOT, agent: ROOT });
  for (const [secret, grants] of [
    [REPLICATION, { Roles: [{ Name: 'builtin/replication' }] }],
    [WEB, { ServiceIdentities: [{ ServiceName: 'web' }] }],
  ] as const) {
    const made = await send(dc1, 'PUT', '/v1/acl/token', { SecretID: secret, ...grants });
    accessors[secret] = made.json<{ AccessorID: string }>().AccessorID;
  }
  const root = await send(dc1, 'GET', '/v1/acl/token/self');
  accessors[ROOT] = root.json<{ AccessorID: string }>().AccessorID;
  dc2 = await start('b', 'dc2', { replication: REPLICATION }, { retry_join_wan: [dc1.ready.serf_wan] });
  await waitFor(async () => (await send(dc2, 'GET', '/v1/acl/tokens')).body.includes('"web"'), {
    what: 'replication to dc2',
  });
});

afterAll(() => Promise.all([dc1?.stop(), dc2?.stop()]));

describe('the audit log', () => {
  it('tells who changed what, and the verdict, and holds no secret', async () => {
    await send(dc1, 'PUT', `/v1/agent/service/register?token=${WEB}&replace-existing-checks=1`, { Name: 'web' }, '');
    expect(last(dc1)).toMatchObject({
      auth: { accessor_id: accessors[WEB] },
      request: {
        operation: 'PUT',
        endpoint: '/v1/agent/service/register?replace-existing-checks=1',
        remote_addr: '127.0.0.1',
        datacenter: 'dc1',
        node: 'a',
      },
      response: { status: '200', verdict: 'allowed' },
    });
    await send(dc1, 'PUT', '/v1/acl/policy', { Name: 'x' }, WEB);
    expect(last(dc1)).toMatchObject({
      auth: { accessor_id: accessors[WEB] },
      response: { status: '403', verdict: 'denied', error: 'Permission denied' },
    });
    await send(dc1, 'PUT', '/v1/agent/reload', undefined, '');
    expect(last(dc1)).toMatchObject({
      auth: { accessor_id: '00000000-0000-0000-0000-000000000002' },
      response: { verdict: 'denied' },
    });
    await send(dc1, 'DELETE', `/v1/acl/token/${accessors[WEB]}`, undefined, 'b1a7c0de-0000-4000-8000-00000000dead');
    expect(last(dc1)).toMatchObject({ auth: { accessor_id: '' }, response: { error: 'ACL not found' } });
    await send(dc1, 'PUT', '/v1/config', { Kind: 'nonsense' });
    expect(last(dc1)).toMatchObject({ response: { status: '400', verdict: 'allowed' } });
    const ownRecords = (): number => recordsOf(dc1).filter(({ type }) => type === 'HTTPEvent').length;
    const before = ownRecords();
    await send(dc1, 'GET', '/v1/catalog/nodes');
    expect(ownRecords()).toBe(before);
  });

  it('has a change that another datacenter brought in both', async () => {
    await send(dc2, 'PUT', '/v1/acl/policy', { Name: 'from-dc2' });
    expect(last(dc2)).toMatchObject({
      auth: { accessor_id: accessors[ROOT] },
      request: { endpoint: '/v1/acl/policy', node: 'b' },
      response: { status: '200' },
    });
    expect(last(dc1, 'RPCEvent')).toMatchObject({
      auth: { accessor_id: accessors[ROOT] },
      request: { operation: 'acl.setPolicy', target: { 'policy.Name': 'from-dc2' }, datacenter: 'dc1', node: 'a' },
      response: { status: 'ok', verdict: 'allowed' },
    });
  });

  it('holds no secret', async () => {
    await send(dc1, 'PUT', '/v1/agent/token/default', { Token: WEB });
    await send(dc1, 'PUT', '/v1/agent/token/default', { Token: '' });
    for (const text of [textOf(dc1), textOf(dc2), dc1.log(), dc2.log()])
      for (const secret of [ROOT, REPLICATION, WEB, 'b1a7c0de-0000-4000-8000-00000000dead'])
        expect(text).not.toContain(secret);
  });
});
