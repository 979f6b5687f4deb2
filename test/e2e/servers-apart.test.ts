import { afterAll, expect, it } from 'vitest';
import { type AgentProcess, isthmus, startAgent, waitFor } from '../harness/index.ts';

/** Servers that are meant to be one datacenter, each with a store of its own. */

const started: AgentProcess[] = [];

afterAll(() => Promise.all(started.map((agent) => agent.stop())));

it('started as with Consul they refuse to start, and say what to do', async () => {
  const { code, err } = await isthmus([
    ...['agent', '-server', '-bootstrap-expect=3', '-data-dir=/nonexistent/isthmus', '-retry-join=10.0.0.2'],
  ]);
  expect(code).toBe(1);
  expect(err).toMatch(/a datacenter has one server: .*storage \{ engine = "etcd"/s);
});

it('that meet on the LAN refuse each other, both with what to do, and go on alone', async () => {
  const one = await startAgent({ name: 's1', datacenter: 'dc1' });
  started.push(one);
  const two = await startAgent({ name: 's2', datacenter: 'dc1', config: { retry_join: [one.ready.serf_lan] } });
  started.push(two);
  for (const agent of [one, two])
    await waitFor(async () => agent.log().split('\n').some(isRefusal), {
      what: `the refusal in the log of ${agent.name}`,
    });
  const joined = await one.http('PUT', `/v1/agent/join/${two.ready.serf_lan}`);
  expect([joined.status, joined.body]).toEqual([503, expect.stringContaining('their stores are not the same')]);
  expect((await one.http('GET', '/v1/agent/members?wan')).json<unknown[]>()).toHaveLength(1);
  expect((await two.http('PUT', '/v1/catalog/register', { Node: 'n', Address: '10.0.0.1' })).status).toBe(200);
});

function isRefusal(line: string): boolean {
  return line.includes('refused to federate') && /both say that they serve datacenter .*one store/.test(line);
}
