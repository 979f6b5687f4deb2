import { request } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { HttpAnswer } from '../harness/http.ts';
import { type InProcessAgent, startInProcess } from '../harness/in-process-agent.ts';

/** What operators' tools ask, answered so that they can read it. */

let agent: InProcessAgent;

beforeAll(async () => {
  agent = await startInProcess({ name: 'n1', datacenter: 'dc1' });
  for (const [node, id] of [
    ['a', 'web-1'],
    ['b', 'web-2'],
  ])
    await put('/v1/catalog/register', {
      Node: node,
      Address: '10.0.0.1',
      Service: { ID: id, Service: 'web', Port: 80 },
      Check: { Name: 'alive', Status: node === 'a' ? 'passing' : 'critical' },
    });
  await put('/v1/catalog/register', {
    Node: 'a',
    Address: '10.0.0.1',
    Service: { Kind: 'connect-proxy', Service: 'web-proxy', Port: 81, Proxy: { DestinationServiceName: 'web' } },
  });
});

afterAll(() => agent?.stop());

async function put(path: string, body: unknown, method = 'PUT'): Promise<HttpAnswer> {
  return agent.http(method, path, JSON.stringify(body));
}

async function get<T>(path: string): Promise<T> {
  const answer = await agent.http('GET', path);
  expect(answer.status, answer.body).toBe(200);
  return answer.json<T>();
}

/** The first piece of a stream. */
function first(path: string): Promise<{ readonly type: string; readonly text: string }> {
  return new Promise((resolve, reject) => {
    const asked = request(`http://${agent.ready.http}${path}`, { agent: false }, (response) => {
      response.once('data', (chunk: Buffer) => {
        resolve({ type: String(response.headers['content-type']), text: chunk.toString() });
        asked.destroy();
      });
    });
    asked.on('error', reject);
    asked.end();
  });
}

describe('the agent', () => {
  it('says what it runs on and which API it speaks', async () => {
    const host = await get<Record<string, unknown>>('/v1/agent/host');
    expect(host).toMatchObject({ Host: { hostname: expect.any(String) }, Errors: null });
    expect((host.Memory as Record<string, number>).total).toBeGreaterThan(1e6);
    expect((host.Disk as Record<string, number>).total).toBeGreaterThan(1e6);
    expect(await get('/v1/agent/version')).toMatchObject({ HumanVersion: expect.stringMatching(/^1\.22\./), FIPS: '' });
    const { Config } = await get<{ readonly Config: Record<string, string> }>('/v1/agent/self');
    expect(Config.Version).toMatch(/^1\.22\./);
  });

  it('streams its log in text and in JSON, with a first line at once', async () => {
    const text = await first('/v1/agent/monitor?loglevel=warn');
    expect(text.type).toBe('text/plain; charset=utf-8');
    expect(text.text).toMatch(/^\S+ \[INFO\] {2}monitor: the log follows from level warn\n$/);
    const json = await first('/v1/agent/monitor?logjson=true');
    expect(JSON.parse(json.text)).toMatchObject({ level: 'info', msg: 'the log follows from level info' });
  });

  it('streams what it measures, labels as text', async () => {
    const { text } = await first('/v1/agent/metrics/stream');
    const [line = ''] = text.split('\n');
    const { Gauges } = (line.endsWith('}') ? JSON.parse(line) : await get('/v1/agent/metrics')) as {
      readonly Gauges: readonly { readonly Labels: Record<string, unknown> }[];
    };
    expect(Gauges.length).toBeGreaterThan(10);
    for (const { Labels } of Gauges)
      for (const value of Object.values(Labels)) expect(value).toEqual(expect.any(String));
  });
});

describe('operator', () => {
  it('keeps autopilot’s configuration, compares and sets, and says that nothing acts on it', async () => {
    const path = '/v1/operator/autopilot/configuration';
    const before = await get<Record<string, unknown>>(path);
    expect(before).toMatchObject({ CleanupDeadServers: true, LastContactThreshold: '200ms', MaxTrailingLogs: 250 });
    const stale = await put(`${path}?cas=99999`, { MaxTrailingLogs: 1 });
    expect(stale.body).toBe('false');
    const written = await put(`${path}?cas=${before.ModifyIndex}`, {
      MaxTrailingLogs: 500,
      ServerStabilizationTime: 2e9,
    });
    expect(written.body).toBe('true');
    expect(written.headers['x-isthmus-warning']).toContain('has no effect');
    expect(await get(path)).toMatchObject({ MaxTrailingLogs: 500, ServerStabilizationTime: '2s' });
    const bad = await put(path, { LastContactThreshold: 'x' });
    expect(bad).toMatchObject({
      status: 400,
      body: 'Bad request: Error parsing autopilot config: time: invalid duration "x"',
    });
  });

  it('shows the servers, and removes only one that is there', async () => {
    const state = await get<{ readonly Leader: string; readonly Voters: readonly string[] }>(
      '/v1/operator/autopilot/state',
    );
    expect(state).toMatchObject({ Healthy: true, FailureTolerance: 0, Voters: [state.Leader] });
    const gone = await agent.http('DELETE', '/v1/operator/raft/peer?address=127.0.0.1:9');
    expect(gone).toMatchObject({ status: 500, body: 'address "127.0.0.1:9" was not found in the Raft configuration' });
    const alive = await agent.http('DELETE', `/v1/operator/raft/peer?id=${state.Leader}`);
    expect(alive).toMatchObject({ status: 500, body: 'server n1 lives: stop it first, or let it leave' });
    const none = await agent.http('DELETE', '/v1/operator/raft/peer');
    expect(none).toMatchObject({ status: 400, body: expect.stringContaining('Must specify either ?id') });
    const transfer = await agent.http('POST', '/v1/operator/raft/transfer-leader');
    expect(transfer).toMatchObject({ status: 500, body: expect.stringContaining('no other server') });
  });

  it('counts what is registered', async () => {
    const { Usage } = await get<{ readonly Usage: Record<string, Record<string, unknown>> }>('/v1/operator/usage');
    expect(Usage.dc1).toMatchObject({
      Nodes: 3,
      Services: 3,
      ServiceInstances: 4,
      BillableServiceInstances: 2,
      ConnectServiceInstances: { 'connect-proxy': 1, 'mesh-gateway': 0 },
    });
    const { Nodes, Services } = await get<Record<string, readonly Record<string, unknown>[]>>(
      '/v1/internal/ui/catalog-overview',
    );
    expect(Nodes).toEqual([{ Name: 'Nodes', Total: 3, Passing: 2, Warning: 0, Critical: 1 }]);
    expect(Services).toContainEqual({ Name: 'web', Total: 2, Passing: 1, Warning: 0, Critical: 1 });
  });

  it('answers what only gateways, peers and gossip would fill', async () => {
    for (const path of [
      '/v1/operator/keyring',
      '/v1/health/ingress/web',
      '/v1/catalog/gateway-services/gw',
      '/v1/peerings',
      '/v1/internal/ui/exported-services',
    ])
      expect(await get(path)).toEqual([]);
    expect((await put('/v1/operator/keyring', { Key: 'x' }, 'POST')).status).toBe(400);
    const ip = await put('/v1/internal/service-virtual-ip', { Service: 'web', ManualVIPs: ['10.1.1.1'] });
    expect(ip.json()).toEqual({ Found: false, UnassignedFrom: [] });
    expect(ip.headers['x-isthmus-warning']).toContain('no virtual addresses');
  });

  it('says what a token may do, and refuses questions that make no sense', async () => {
    const questions = [{ Resource: 'service', Segment: 'web', Access: 'write' }];
    const answer = await put('/v1/internal/acl/authorize', questions, 'POST');
    expect(answer.json()).toEqual([{ ...questions[0], Allow: true }]);
    for (const question of [
      { Resource: 'service', Access: 'rule' },
      { Resource: 'everything', Access: 'read' },
    ])
      expect((await put('/v1/internal/acl/authorize', [question], 'POST')).status).toBe(400);
    const many = Array.from({ length: 65 }, () => questions[0]);
    expect((await put('/v1/internal/acl/authorize', many, 'POST')).body).toContain('more than 64');
  });
});
