import { afterAll, beforeAll, expect, it } from 'vitest';
import { requestBytes, sendAll } from '../../bench/http-load.ts';
import { type InProcessAgent, startInProcess } from '../harness/in-process-agent.ts';
import { waitFor } from '../harness/wait-for.ts';

/** The token table of the primary, in another datacenter: all of it, whatever its size. */

const ROOT = 'b1a7c0de-0000-4000-8000-000000000001';
const REPLICATION = 'b1a7c0de-0000-4000-8000-000000000002';
const COUNT = 10_000;

let dc1: InProcessAgent;
let dc2: InProcessAgent;

beforeAll(async () => {
  const acl = { enabled: true, default_policy: 'deny', enable_token_replication: true };
  const start = (datacenter: string, tokens: object, more: object = {}): Promise<InProcessAgent> =>
    startInProcess({
      name: `${datacenter}-s1`,
      datacenter,
      config: { primary_datacenter: 'dc1', log_level: 'warn', acl: { ...acl, tokens }, ...more },
    });
  dc1 = await start('dc1', { initial_management: ROOT });
  const replication = { SecretID: REPLICATION, Roles: [{ Name: 'builtin/replication' }] };
  await dc1.http('PUT', '/v1/acl/token', replication, { 'x-consul-token': ROOT });
  dc2 = await start('dc2', { replication: REPLICATION }, { retry_join_wan: [dc1.ready.serf_wan] });
});

afterAll(() => Promise.all([dc1?.stop(), dc2?.stop()]));

it('replicates 10,000 tokens, each with its secret', async () => {
  const [host = '', port = ''] = (dc1.ready.http ?? '').split(':');
  const target = { host, port: Number(port), connections: 32, headers: { 'X-Consul-Token': ROOT } };
  const secretOf = (at: number): string => `70cec000-0000-4000-8000-${String(at).padStart(12, '0')}`;
  const requests = Array.from({ length: COUNT }, (_, at) =>
    requestBytes(target, 'PUT', '/v1/acl/token', {
      SecretID: secretOf(at),
      ServiceIdentities: [{ ServiceName: `s${at}` }],
    }),
  );
  const begun = performance.now();
  expect(await sendAll(target, requests)).toMatchObject({ failures: 0, requests: COUNT });
  const written = performance.now();
  const list = async (agent: InProcessAgent): Promise<readonly { readonly AccessorID: string }[]> =>
    (await agent.http('GET', '/v1/acl/tokens', undefined, { 'x-consul-token': ROOT })).json();
  const expected = (await list(dc1)).map(({ AccessorID }) => AccessorID).sort();
  expect(expected.length).toBeGreaterThanOrEqual(COUNT);
  await waitFor(async () => (await list(dc2)).length >= expected.length, {
    what: 'the tokens in dc2',
    timeout: 60_000,
    interval: 200,
  });
  const arrived = performance.now();
  expect((await list(dc2)).map(({ AccessorID }) => AccessorID).sort()).toEqual(expected);
  await dc1.stop(); // what is known in dc2 is known without the primary
  for (const at of [0, 1, COUNT / 2, COUNT - 1]) {
    const self = await dc2.http('GET', '/v1/acl/token/self', undefined, { 'x-consul-token': secretOf(at) });
    expect(self.json()).toMatchObject({ ServiceIdentities: [{ ServiceName: `s${at}` }] });
  }
  console.log(
    `${COUNT} tokens written in ${Math.round(written - begun)} ms, in dc2 ${Math.round(arrived - written)} ms later`,
  );
}, 120_000);
