import { execFile } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AgentProcess, BINARY, startAgent, waitFor } from '../harness/index.ts';

/** Two datacenters that refuse what no one allowed, run from the command line. */

const NODE_RULES = 'node_prefix "" { policy = "write" } agent_prefix "" { policy = "read" }';

interface Token {
  readonly AccessorID: string;
  readonly SecretID: string;
}

let dc1: AgentProcess;
let dc2: AgentProcess;
let root: Token;

const header = (token: string) => ({ 'x-consul-token': token });

function cli(
  agent: AgentProcess,
  token: string,
  ...args: string[]
): Promise<{ status: number; out: string; err: string }> {
  const env = {
    ...process.env,
    CONSUL_HTTP_ADDR: agent.ready.http,
    ...(token === '' ? {} : { CONSUL_HTTP_TOKEN: token }),
  };
  return new Promise((resolve) => {
    execFile(BINARY, args, { env }, (error, out, err) =>
      resolve({ status: error === null ? 0 : Number(error.code), out, err }),
    );
  });
}

async function make<T>(agent: AgentProcess, ...args: string[]): Promise<T> {
  const { status, out, err } = await cli(agent, root.SecretID, ...args, '-format=json');
  expect(`${status} ${err}`).toBe('0 ');
  return JSON.parse(out) as T;
}

const nodesSeen = async (agent: AgentProcess, token: string): Promise<string> => {
  const answer = await agent.http('GET', '/v1/catalog/nodes', undefined, header(token));
  return answer.status === 200 ? `${answer.json<readonly unknown[]>().length} nodes` : answer.body;
};

beforeAll(async () => {
  const acl = { enabled: true, default_policy: 'deny', enable_token_replication: true, enable_token_persistence: true };
  dc1 = await startAgent({ name: 'a', datacenter: 'dc1', config: { primary_datacenter: 'dc1', acl } });
  dc2 = await startAgent({
    name: 'b',
    datacenter: 'dc2',
    config: {
      primary_datacenter: 'dc1',
      retry_join_wan: [dc1.ready.serf_wan],
      acl: { ...acl, tokens: { replication: 'ffffffff-0000-0000-0000-000000000000' } },
    },
  });
});

afterAll(async () => {
  await Promise.all([dc1?.stop(), dc2?.stop()]);
});

describe('access control', () => {
  it('is bootstrapped once', async () => {
    const { out, status } = await cli(dc1, '', 'acl', 'bootstrap', '-format=json');
    expect(status).toBe(0);
    root = JSON.parse(out) as Token;
    const again = await cli(dc1, '', 'acl', 'bootstrap');
    expect(again.status).toBe(1);
    expect(again.err).toMatch(/Permission denied: ACL bootstrap no longer allowed \(reset index: \d+\)/);
  });

  it('says what is wrong with the replication token, and heals when it is corrected', async () => {
    const told = () => dc2.log().match(/.*replication cannot work.*/g) ?? [];
    await waitFor(async () => told().length > 0, { what: 'the refusal in the log' });
    expect(told()).toHaveLength(1);
    expect(told()[0]).toContain('the replication token is not known in datacenter \\"dc1\\"');
    const status = await cli(dc2, root.SecretID, 'replication', 'status');
    expect(status.out).toContain('Token: the replication token is not known in datacenter "dc1"');
    const weak = await make<Token>(dc1, 'acl', 'token', 'create', '-service-identity', 'x');
    await cli(dc2, root.SecretID, 'acl', 'set-agent-token', 'replication', weak.SecretID);
    await waitFor(async () => told().length > 1, { what: 'what the other token lacks' });
    expect(told()[1]).toContain(
      'the replication token lacks acl read for acl-policies; acl read for acl-roles; acl write for acl-tokens; ' +
        'operator write for certificates',
    );
    const before = await dc2.http('GET', '/v1/acl/replication');
    expect(before.json()).toMatchObject({ Enabled: true, ReplicatedIndex: 0 });
    const { SecretID } = await make<Token>(dc1, 'acl', 'token', 'create', '-role-name', 'builtin/replication');
    const master = await dc2.http('GET', '/v1/acl/token/self', undefined, header(root.SecretID));
    expect(master.status).toBe(200); // asked of the primary: nothing was replicated yet
    const set = await cli(dc2, root.SecretID, 'acl', 'set-agent-token', 'replication', SecretID);
    expect(set).toEqual({ status: 0, out: 'ACL token "replication" set successfully\n', err: '' });
    await waitFor(
      async () => {
        const status = (await dc2.http('GET', '/v1/acl/replication')).json<{
          Running: boolean;
          ReplicatedTokenIndex: number;
        }>();
        const roots = await dc2.http('GET', '/v1/connect/ca/roots');
        return status.Running && status.ReplicatedTokenIndex > 0 && roots.status === 200;
      },
      { what: 'replication' },
    );
    expect(dc2.log()).not.toContain(SecretID);
  });

  it('makes policies, roles and tokens from the command line', async () => {
    const policy = await make<{ ID: string }>(dc1, 'acl', 'policy', 'create', '-name', 'nodes', '-rules', NODE_RULES);
    const shown = await cli(dc1, root.SecretID, 'acl', 'policy', 'read', '-id', policy.ID.slice(0, 8));
    expect(shown.out).toContain(`Name:         nodes\n`);
    expect(shown.out).toContain(NODE_RULES);
    await make(dc1, 'acl', 'policy', 'update', '-name', 'nodes', '-description', 'about nodes');
    await make(dc1, 'acl', 'role', 'create', '-name', 'web', '-service-identity', 'web:dc1,dc2');
    await make(dc1, 'acl', 'role', 'update', '-name', 'web', '-policy-name', 'nodes');
    const role = await cli(dc1, root.SecretID, 'acl', 'role', 'read', '-name', 'web');
    expect(role.out).toContain('   web (Datacenters: dc1, dc2)');
    expect(role.out).toContain(`   ${policy.ID} - nodes`);
    const token = await make<Token>(dc1, 'acl', 'token', 'create', '-description', 'one', '-role-name', 'web');
    await make(dc1, 'acl', 'token', 'update', '-id', token.AccessorID, '-merge-roles', '-policy-name', 'nodes');
    const clone = await cli(
      dc1,
      root.SecretID,
      'acl',
      'token',
      'clone',
      '-id',
      token.AccessorID,
      '-description',
      'two',
    );
    expect(clone.out).toMatch(/^Token cloned successfully\.\nAccessorID: {7}/);
    const own = await cli(dc1, token.SecretID, 'acl', 'token', 'read', '-self', '-meta');
    expect(own.out).toContain('Description:      one');
    expect(own.out).toMatch(/\nHash: {13}[0-9a-f]{64}\nCreate Index: {5}\d+\nModify Index: {5}\d+\n/);
    expect((await cli(dc1, '', 'acl', 'translate-rules', 'x')).err).toContain('before Consul 1.4 are not supported');
    const list = await cli(dc1, root.SecretID, 'acl', 'token', 'list');
    expect(list.out).toContain('Description:      two');
    expect(list.out).not.toContain(token.SecretID);
    const removed = await cli(dc1, root.SecretID, 'acl', 'token', 'delete', '-id', token.AccessorID);
    expect(removed.out).toBe(`Token "${token.AccessorID}" deleted successfully\n`);
    expect((await cli(dc1, root.SecretID, 'acl', 'policy', 'list')).out).toContain('global-management:\n   ID:');
    expect((await cli(dc1, root.SecretID, 'acl', 'role', 'list')).out).toContain('web:\n   ID:');
    expect((await cli(dc1, token.SecretID, 'acl', 'token', 'list')).err).toContain('ACL not found');
  });

  it('never denies a token that was just made, in any datacenter', async () => {
    for (let i = 0; i < 10; i += 1) {
      const name = `fresh-${i}`;
      await dc1.http('PUT', '/v1/acl/policy', { Name: name, Rules: NODE_RULES }, header(root.SecretID));
      const made = await dc1.http('PUT', '/v1/acl/token', { Policies: [{ Name: name }] }, header(root.SecretID));
      const { SecretID } = made.json<Token>();
      expect(await nodesSeen(dc2, SecretID)).toBe('1 nodes');
      expect(await nodesSeen(dc1, SecretID)).toBe('1 nodes');
    }
  });

  it('shows no secret, neither in logs nor about the agent', async () => {
    for (const agent of [dc1, dc2]) {
      const self = await agent.http('GET', '/v1/agent/self', undefined, header(root.SecretID));
      const metrics = await agent.http('GET', '/v1/agent/metrics?format=prometheus', undefined, header(root.SecretID));
      expect([self.status, metrics.status]).toEqual([200, 200]);
      for (const text of [self.body, metrics.body, agent.log()]) {
        expect(text).not.toContain(root.SecretID);
        expect(text).not.toContain('ffffffff-0000-0000-0000-000000000000');
      }
    }
  });

  it('shows by a prepared query what the token of the query may see, whoever asks', async () => {
    const found = async (name: string): Promise<number> => {
      const answer = await dc1.http('GET', `/v1/query/${name}/execute`);
      return answer.json<{ Nodes: readonly unknown[] | null }>().Nodes?.length ?? 0;
    };
    for (const [agent, service] of [
      [dc1, 'here'],
      [dc2, 'there'],
    ] as const) {
      const registration = { Node: 'n', Address: '10.0.0.1', Service: { Service: service, Port: 1 } };
      await agent.http('PUT', '/v1/catalog/register', registration, header(root.SecretID));
      for (const [Name, Token] of [
        [`open-${service}`, ''],
        [`captured-${service}`, root.SecretID],
      ] as const) {
        const query = { Name, Token, Service: { Service: service, Failover: { Datacenters: ['dc2'] } } };
        expect((await dc1.http('POST', '/v1/query', query, header(root.SecretID))).status).toBe(200);
      }
      expect([await found(`open-${service}`), await found(`captured-${service}`)], service).toEqual([0, 1]);
      await agent.http('PUT', '/v1/catalog/deregister', { Node: 'n' }, header(root.SecretID));
    }
  });

  it('keeps local tokens in their datacenter', async () => {
    const local = await make<Token>(dc2, 'acl', 'token', 'create', '-local', '-policy-name', 'nodes');
    expect(await nodesSeen(dc2, local.SecretID)).toBe('1 nodes');
    expect(await nodesSeen(dc1, local.SecretID)).toBe('ACL not found');
    await make(dc2, 'acl', 'token', 'delete', '-id', local.AccessorID);
    expect(await nodesSeen(dc2, local.SecretID)).toBe('ACL not found');
  });

  it('ends what a deleted token waits for', async () => {
    const token = await make<Token>(dc1, 'acl', 'token', 'create', '-service-identity', 'api');
    const api = header(token.SecretID);
    await dc1.http('PUT', '/v1/agent/service/register', { Name: 'api', Connect: { SidecarService: {} } }, api);
    const leaf = await dc1.http('GET', '/v1/agent/connect/ca/leaf/api', undefined, api);
    expect(leaf.status).toBe(200);
    expect((await dc1.http('GET', '/v1/internal/sidecar?sidecar-for=api')).status).toBe(403);
    const stream = dc1.http('GET', '/v1/internal/sidecar?sidecar-for=api', undefined, api).then(
      () => 'ended',
      () => 'ended',
    );
    const index = String(leaf.headers['x-consul-index']);
    const waiting = dc1.http('GET', `/v1/agent/connect/ca/leaf/api?wait=2s&index=${index}`, undefined, api);
    await make(dc1, 'acl', 'token', 'delete', '-id', token.AccessorID);
    expect(await stream).toBe('ended');
    expect((await waiting).body).toBe('ACL not found');
  });

  it('takes a write of the secondary to the primary and back', async () => {
    const token = await make<Token>(dc2, 'acl', 'token', 'create', '-policy-name', 'nodes');
    expect(await nodesSeen(dc1, token.SecretID)).toBe('1 nodes');
    await make(dc1, 'acl', 'token', 'delete', '-id', token.AccessorID);
    await waitFor(async () => (await nodesSeen(dc2, token.SecretID)) === 'ACL not found', { what: 'the deletion' });
  });

  it('goes on with what it knows while the primary is dead', async () => {
    const token = await make<Token>(dc1, 'acl', 'token', 'create', '-service-identity', 'web');
    await waitFor(
      async () =>
        (await dc2.http('GET', '/v1/acl/tokens', undefined, header(root.SecretID))).body.includes(token.AccessorID),
      { what: 'the token in dc2' },
    );
    await dc1.kill9();
    const web = header(token.SecretID);
    expect(await nodesSeen(dc2, token.SecretID)).toBe('1 nodes');
    expect((await dc2.http('PUT', '/v1/agent/service/register', { Name: 'web' }, web)).status).toBe(200);
    expect((await dc2.http('GET', '/v1/agent/connect/ca/leaf/web', undefined, web)).status).toBe(200);
    expect((await dc2.http('GET', '/v1/agent/connect/ca/leaf/db', undefined, web)).status).toBe(403);
    // The agent has no token of its own: the service's is enough for the catalog.
    await waitFor(
      async () =>
        (await dc2.http('GET', '/v1/catalog/service/web', undefined, web)).json<readonly unknown[]>().length === 1,
      { what: 'the service in the catalog' },
    );
    const check = await dc2.http('GET', '/v1/connect/intentions/check?source=a&destination=web', undefined, web);
    expect(check.json()).toEqual({ Allowed: false });
  });
});
