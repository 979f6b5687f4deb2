import { afterEach, describe, expect, it } from 'vitest';
import {
  type AgentProcess,
  assertNoneLeft,
  callAgent,
  type EtcdCluster,
  startAgent,
  startEtcd,
  waitFor,
  withoutEtcd,
} from '../harness/index.ts';

let etcd: EtcdCluster | undefined;
const agents: AgentProcess[] = [];

afterEach(async () => {
  await Promise.all(agents.splice(0).map((agent) => agent.stop()));
  await etcd?.stop();
  await assertNoneLeft();
});

interface Node {
  readonly Node: string;
}

const register = (agent: AgentProcess, name: string): Promise<unknown> =>
  callAgent(agent, 'PUT', '/v1/catalog/register', { Node: name, Address: '127.0.0.9' });
const nodes = async (agent: AgentProcess): Promise<string[]> =>
  (await callAgent<Node[]>(agent, 'GET', '/v1/catalog/nodes')).map(({ Node }) => Node).sort();

// Skipped only where there is no etcd, which says so; in CI that is an error.
describe.skipIf(withoutEtcd() !== undefined)('servers on etcd', () => {
  it('wait for etcd, share its state, answer while it is away, and go on when it is back', async () => {
    etcd = await startEtcd();
    const [member] = etcd.members;
    if (member === undefined) throw new Error('no member');
    await member.kill9();
    const storage = { engine: 'etcd', etcd: { endpoints: etcd.endpoints, prefix: 'test/dc1' } };
    const start = (name: string): Promise<AgentProcess> =>
      startAgent({ name, datacenter: 'dc1', config: { storage }, readyWithinMs: 60_000 });
    const starting = start('s1');
    let started: AgentProcess | undefined;
    const noted = starting.then((agent) => {
      started = agent;
    });
    await member.restart();
    const one = await starting;
    await noted;
    agents.push(one);
    expect(started).toBe(one);
    const waiting = one
      .log()
      .split('\n')
      .filter((line) => line.includes('waiting for etcd'))
      .map((line) => (JSON.parse(line) as { error: string }).error);
    expect(new Set(waiting).size).toBe(waiting.length); // once for each reason
    const two = await start('s2');
    agents.push(two);
    await register(one, 'n1');
    await waitFor(async () => (await nodes(two)).includes('n1'), { what: 'the node on the other server' });
    expect(await nodes(one)).toEqual(['n1', 's1', 's2']);

    await member.kill9();
    await waitFor(
      async () => (await one.http('GET', '/v1/catalog/nodes')).headers['x-consul-knownleader'] === 'false',
      {
        what: 'the server to notice',
      },
    );
    const stale = await one.http('GET', '/v1/catalog/nodes?stale');
    expect(stale.status).toBe(200);
    expect(Number(stale.headers['x-consul-lastcontact'])).toBeGreaterThan(0);
    const refused = await one.http('PUT', '/v1/catalog/register', { Node: 'n2', Address: '127.0.0.9' });
    expect([refused.status, refused.body]).toEqual([
      503,
      expect.stringMatching(/^etcd at http:\/\/127.0.0.1:\d+ did not write: no connection: connect ECONNREFUSED/),
    ]);
    await member.restart();
    await waitFor(() => register(two, 'n3').then(() => true), { what: 'a write after etcd is back' });
    await waitFor(async () => (await nodes(one)).includes('n3'), { what: 'the node on the other server' });
    expect((await one.http('GET', '/v1/catalog/nodes')).headers['x-consul-knownleader']).toBe('true');
    expect(one.log().match(/etcd is out of reach/g)).toHaveLength(1);
    const metrics = await one.http('GET', '/v1/agent/metrics?format=prometheus');
    expect(metrics.body).toContain('isthmus_store_connected 1');
    expect(metrics.body).toMatch(/isthmus_store_etcd_request_seconds_count\{method="etcdserverpb.KV\/Txn"\} \d+/);
    expect(metrics.body).toMatch(/isthmus_store_watch_reconnects_total [1-9]/);
  });
});
