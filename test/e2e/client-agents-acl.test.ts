import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AgentProcess, callAgent, type HttpAnswer, startAgent, waitFor } from '../harness/index.ts';

/** A server that refuses what no one allowed, and a client agent of it. */

const ROOT = '00000000-0000-0000-0000-00000000beef';
const RECOVERY = '00000000-0000-0000-0000-00000000cafe';

let server: AgentProcess;
let client: AgentProcess;
/** Secrets, and the ID of web's policy. */
let agentToken: string;
let webToken: string;
let webPolicy: string;
let agentPolicy: string;

const AGENT_RULES = 'node "c1" { policy = "write" } service_prefix "" { policy = "read" }';

const asked = (agent: AgentProcess, method: string, path: string, token = '', body?: object): Promise<HttpAnswer> =>
  agent.http(method, path, body, token === '' ? {} : { 'x-consul-token': token });

async function policy(name: string, Rules: string): Promise<string> {
  const answer = await asked(server, 'PUT', '/v1/acl/policy', ROOT, { Name: name, Rules });
  expect(`${answer.status} ${answer.body}`).toMatch(/^200 /);
  return answer.json<{ ID: string }>().ID;
}

async function token(ID: string): Promise<string> {
  const answer = await asked(server, 'PUT', '/v1/acl/token', ROOT, { Policies: [{ ID }] });
  return answer.json<{ SecretID: string }>().SecretID;
}

const leaf = (secret: string): Promise<HttpAnswer> => asked(client, 'GET', '/v1/agent/connect/ca/leaf/web', secret);

beforeAll(async () => {
  const acl = { enabled: true, default_policy: 'deny' };
  server = await startAgent({
    name: 's1',
    datacenter: 'dc1',
    config: { acl: { ...acl, tokens: { initial_management: ROOT } } },
  });
  agentPolicy = await policy('agent', AGENT_RULES);
  agentToken = await token(agentPolicy);
  webPolicy = await policy(
    'web',
    'service "web" { policy = "write" } service "web-sidecar-proxy" { policy = "write" }',
  );
  webToken = await token(webPolicy);
  client = await startAgent({
    name: 'c1',
    datacenter: 'dc1',
    config: {
      server: false,
      retry_join: [server.ready.serf_lan],
      acl: { ...acl, token_ttl: '1s', tokens: { agent: agentToken, agent_recovery: RECOVERY } },
    },
  });
}, 60_000);

afterAll(async () => {
  await client?.stop();
  await server?.stop();
});

describe('access control on a client agent', () => {
  it('decides about the agent’s own endpoints by what the servers know of a token', async () => {
    expect((await asked(client, 'GET', '/v1/agent/self')).status).toBe(403);
    expect((await asked(client, 'GET', '/v1/agent/self', 'no-such-token')).body).toBe('ACL not found');
    expect((await asked(client, 'GET', '/v1/agent/self', ROOT)).status).toBe(200);
    const refused = await asked(client, 'PUT', '/v1/agent/service/register', agentToken, { Name: 'web' });
    expect([refused.status, refused.body]).toEqual([403, 'Permission denied: Missing service:write on web']);
    const request = { Name: 'web', Port: 80, Token: webToken, Connect: { SidecarService: {} } };
    expect((await asked(client, 'PUT', '/v1/agent/service/register', webToken, request)).status).toBe(200);
    await waitFor(
      async () => {
        const known = (await asked(server, 'GET', '/v1/catalog/services', ROOT)).json<object>();
        return 'web' in known && 'web-sidecar-proxy' in known;
      },
      { what: 'web and its sidecar in the catalog' },
    );
  });

  it('shows the catalog as the token may see it', async () => {
    const seen = async (secret: string) => (await asked(client, 'GET', '/v1/catalog/services', secret)).json<object>();
    expect(Object.keys(await seen(webToken))).toEqual(['web', 'web-sidecar-proxy']);
    expect(Object.keys(await seen(ROOT))).toEqual(['consul', 'web', 'web-sidecar-proxy']);
    expect(await seen('')).toEqual({});
  });

  it('hands out a leaf to who may write the service, and no longer once that is taken away', async () => {
    expect((await leaf('')).status).toBe(403);
    expect((await leaf(agentToken)).status).toBe(403);
    const first = await leaf(webToken);
    expect(first.json()).toMatchObject({ Service: 'web', PrivateKeyPEM: expect.stringContaining('PRIVATE KEY') });
    await asked(server, 'PUT', `/v1/acl/policy/${webPolicy}`, ROOT, {
      Name: 'web',
      Rules: 'service "web" { policy = "read" }',
    });
    await waitFor(async () => (await leaf(webToken)).status === 403, { what: 'the refusal' });
    await asked(server, 'PUT', `/v1/acl/policy/${webPolicy}`, ROOT, {
      Name: 'web',
      Rules: 'service "web" { policy = "write" }',
    });
    await waitFor(async () => (await leaf(webToken)).status === 200, { what: 'the right to the leaf' });
  });

  it('ends the session of an agent whose token loses its node, until it has the right again', async () => {
    const problem = async (): Promise<string> => {
      const self = (await asked(client, 'GET', '/v1/agent/self', RECOVERY)).json<{
        Stats: { session?: { problem?: string } };
      }>();
      return self.Stats.session?.problem ?? '';
    };
    const rules = (Rules: string) =>
      asked(server, 'PUT', `/v1/acl/policy/${agentPolicy}`, ROOT, { Name: 'agent', Rules });
    expect(await problem()).toBe('');
    await rules('node "c1" { policy = "read" }');
    await waitFor(async () => (await problem()).includes('needs node:write on c1'), { what: 'the end of the session' });
    await rules(AGENT_RULES);
    await waitFor(async () => (await problem()) === '', { what: 'the next session' });
  });

  it('goes on while no server is reached: what was known still counts, what was not is refused', async () => {
    await server.stop();
    await waitFor(async () => (await asked(client, 'GET', '/v1/agent/self', ROOT)).body.includes('"problem"'), {
      what: 'the end of the session',
    });
    expect((await leaf(webToken)).status).toBe(200);
    expect((await leaf(agentToken)).status).toBe(403);
    expect((await asked(client, 'GET', '/v1/agent/self', RECOVERY)).status).toBe(200);
    expect((await asked(client, 'GET', '/v1/agent/self', '00000000-0000-0000-0000-000000000bad')).status).toBe(403);
    await server.restart();
    await waitFor(async () => (await asked(client, 'GET', '/v1/catalog/nodes', ROOT)).status === 200, {
      what: 'answers again',
    });
    expect(await callAgent(client, 'GET', '/v1/status/leader')).not.toBe('');
  });
});
