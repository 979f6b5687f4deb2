import { afterAll, beforeAll, expect, it } from 'vitest';
import { type AgentProcess, assertNoneLeft, callAgent, isthmus, startAgent } from '../harness/index.ts';

let agent: AgentProcess;
let http: string;

beforeAll(async () => {
  agent = await startAgent({ name: 'dc1-s1', datacenter: 'dc1' });
  http = `-http-addr=${agent.ready.http}`;
}, 60_000);
afterAll(async () => {
  await agent?.stop();
  await assertNoneLeft();
});

const run = (...words: readonly string[]) => isthmus(['operator', ...words, http]);

it('autopilot: what was set is shown again, as Consul’s commands write it', async () => {
  const first = await run('autopilot', 'get-config');
  expect(first.out).toBe(
    'CleanupDeadServers = true\nLastContactThreshold = 200ms\nMaxTrailingLogs = 250\nMinQuorum = 0\n' +
      'ServerStabilizationTime = 10s\nRedundancyZoneTag = ""\nDisableUpgradeMigration = false\n' +
      'UpgradeVersionTag = ""\n',
  );
  const set = await run('autopilot', 'set-config', '-cleanup-dead-servers=false', '-last-contact-threshold=300ms');
  expect(set).toMatchObject({ code: 0, out: 'Configuration updated!\n' });
  const second = await run('autopilot', 'get-config');
  expect(second.out).toContain('CleanupDeadServers = false\nLastContactThreshold = 300ms\nMaxTrailingLogs = 250\n');
  const { out } = await run('autopilot', 'state');
  for (const line of ['Healthy:                      true', '      Name:            dc1-s1'])
    expect(out.split('\n')).toContain(line);
}, 120_000);

it('raft: an absent server and a leader alone are refused with the reason', async () => {
  expect(await run('raft', 'remove-peer', '-address=127.0.0.1:9')).toEqual({
    code: 1,
    out: '',
    err:
      'Error removing peer: Unexpected response code: 500 (address "127.0.0.1:9" was not found in the Raft ' +
      'configuration)\n',
  });
  expect(await run('raft', 'transfer-leader')).toMatchObject({
    code: 1,
    err: expect.stringMatching(/^Error transferring leadership: /),
  });
  expect((await run('raft', 'list-peers')).out).toContain('dc1-s1');
}, 120_000);

it('usage: instances by what they are', async () => {
  await callAgent(agent, 'PUT', '/v1/agent/service/register', { Name: 'web', Connect: { SidecarService: {} } });
  const { code, out } = await run('usage', 'instances');
  expect(code).toBe(0);
  expect(out).toMatch(/^Billable Service Instances Total: 1\n/);
  expect(out).toMatch(/^connect-proxy +1$/m);
}, 120_000);
