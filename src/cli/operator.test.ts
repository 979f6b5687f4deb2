import { afterEach, describe, expect, it } from 'vitest';
import { fakeAgent, Refusal, runCommand as run, stopFakeAgents } from '../../test/fakes/command-line.ts';

afterEach(stopFakeAgents);

const CONFIG = '/v1/operator/autopilot/configuration';
const config = {
  CleanupDeadServers: false,
  LastContactThreshold: '300ms',
  MaxTrailingLogs: 300,
  MinQuorum: 0,
  ServerStabilizationTime: '11s',
  RedundancyZoneTag: '',
  DisableUpgradeMigration: false,
  UpgradeVersionTag: '',
  CreateIndex: 4,
  ModifyIndex: 9,
};

describe('operator autopilot', () => {
  it('get-config prints what Consul’s prints', async () => {
    const agent = await fakeAgent({ [`GET ${CONFIG}`]: config });
    const { status, stdout } = await run(['operator', 'autopilot', 'get-config', `-http-addr=${agent.address}`]);
    expect({ status, stdout }).toEqual({
      status: 0,
      stdout:
        'CleanupDeadServers = false\nLastContactThreshold = 300ms\nMaxTrailingLogs = 300\nMinQuorum = 0\n' +
        'ServerStabilizationTime = 11s\nRedundancyZoneTag = ""\nDisableUpgradeMigration = false\nUpgradeVersionTag ' +
        '= ""\n',
    });
  });

  it('set-config changes what is given, over what was read', async () => {
    const { CreateIndex: _c, ModifyIndex: _m, ...kept } = config;
    const body = JSON.stringify({ ...kept, CleanupDeadServers: true, MaxTrailingLogs: 7 });
    const agent = await fakeAgent({ [`GET ${CONFIG}`]: config, [`PUT ${CONFIG}?cas=9`]: true });
    const args = ['operator', 'autopilot', 'set-config', `-http-addr=${agent.address}`];
    const given = ['-cleanup-dead-servers=true', '-max-trailing-logs=7'];
    expect(await run([...args, ...given])).toEqual({ status: 0, stdout: 'Configuration updated!\n', stderr: '' });
    expect(agent.seen).toEqual([`GET ${CONFIG}`, `PUT ${CONFIG}?cas=9 ${body}`]);
    expect((await run(args)).status).toBe(1);
    const raced = await fakeAgent({ [`GET ${CONFIG}`]: config, [`PUT ${CONFIG}?cas=9`]: false });
    expect(await run([...args.slice(0, 3), `-http-addr=${raced.address}`, ...given])).toMatchObject({
      status: 1,
      stderr: 'Configuration could not be atomically updated, please try again\n',
    });
  });

  it('state lists the servers', async () => {
    const server = { ID: 'id-1', Name: 's1', Address: '10.0.0.1:8300', Version: '1.22.0', Status: 'leader' };
    const more = { NodeType: 'voter', NodeStatus: 'alive', Healthy: true, LastContact: '0s', LastTerm: 2 };
    const state = {
      ...{ Healthy: true, FailureTolerance: 1, OptimisticFailureTolerance: 1, Leader: 'id-1', Voters: ['id-1'] },
      Servers: { 'id-1': { ...server, ...more, LastIndex: 10, Meta: { a: 'b' } } },
    };
    const agent = await fakeAgent({ 'GET /v1/operator/autopilot/state': state });
    const { stdout } = await run(['operator', 'autopilot', 'state', `-http-addr=${agent.address}`]);
    for (const line of [
      'Healthy:                      true',
      'Leader:                       id-1',
      '      Address:         10.0.0.1:8300',
      '         "a": "b"',
    ])
      expect(stdout.split('\n')).toContain(line);
  });
});

describe('operator raft', () => {
  const command = async (words: readonly string[], answers: Parameters<typeof fakeAgent>[0]) => {
    const agent = await fakeAgent(answers);
    return { ...(await run(['operator', 'raft', ...words, `-http-addr=${agent.address}`])), seen: agent.seen };
  };

  it('remove-peer says what Consul’s says', async () => {
    const refusal = new Refusal(500, 'address "127.0.0.1:9" was not found in the Raft configuration');
    const path = 'DELETE /v1/operator/raft/peer?address=127.0.0.1%3A9';
    expect(await command(['remove-peer', '-address=127.0.0.1:9'], { [path]: refusal })).toMatchObject({
      status: 1,
      stderr:
        'Error removing peer: Unexpected response code: 500 (address "127.0.0.1:9" was not found in the Raft ' +
        'configuration)\n',
    });
    expect(await command(['remove-peer', '-id=x'], { 'DELETE /v1/operator/raft/peer?id=x': '' })).toMatchObject({
      status: 0,
      stdout: 'Removed peer with id "x"\n',
    });
    expect((await command(['remove-peer'], {})).status).toBe(1);
    expect((await command(['remove-peer', '-id=x', '-address=y'], {})).seen).toEqual([]);
  });

  it('transfer-leader asks the servers', async () => {
    const answers = { 'POST /v1/operator/raft/transfer-leader': { Success: true } };
    expect(await command(['transfer-leader'], answers)).toMatchObject({ status: 0, stdout: 'Success\n' });
  });
});

describe('operator usage instances', () => {
  const usage = (billable: number) => ({
    Services: 2,
    ServiceInstances: 5,
    BillableServiceInstances: billable,
    ConnectServiceInstances: { 'connect-native': 1, 'connect-proxy': 2 },
  });
  const of = (dc: string, billable: number) => ({ Usage: { [dc]: usage(billable) } });

  it('counts, in one datacenter or in all', async () => {
    const agent = await fakeAgent({
      'GET /v1/operator/usage': of('dc1', 3),
      'GET /v1/operator/usage?dc=dc1': of('dc1', 3),
      'GET /v1/operator/usage?dc=dc2': of('dc2', 4),
      'GET /v1/catalog/datacenters': ['dc1', 'dc2'],
    });
    const args = ['operator', 'usage', 'instances', `-http-addr=${agent.address}`];
    expect((await run(args)).stdout).toBe(
      'Billable Service Instances Total: 3\n\nBillable Services\nServices  Service instances\n2         3\n\n' +
        'Connect Services\nType            Service instances\nconnect-native  1\nconnect-proxy   2\n',
    );
    expect((await run([...args, '-all-datacenters', '-only-billable'])).stdout).toBe(
      'Billable Service Instances Total: 7\n\nBillable Services\nDatacenter  Services  Service instances\n' +
        'dc1         2         3\ndc2         2         4\n',
    );
    expect((await run([...args, '-only-connect'])).stdout).not.toContain('Billable');
    expect((await run([...args, '-only-connect', '-only-billable'])).status).toBe(1);
  });
});

it('acl token takes the flags of today', async () => {
  const accessor = '11111111-1111-4111-8111-111111111111';
  const token = { AccessorID: accessor, SecretID: 's', Description: 'd', Policies: [{ ID: 'p1', Name: 'one' }] };
  const path = `/v1/acl/token/${accessor}`;
  const agent = await fakeAgent({ [`GET ${path}`]: token, [`PUT ${path}`]: token, [`DELETE ${path}`]: true });
  const at = [`-accessor-id=${accessor}`, `-http-addr=${agent.address}`];
  expect((await run(['acl', 'token', 'read', ...at])).stdout).toContain(accessor);
  expect((await run(['acl', 'token', 'update', ...at, '-append-policy-name=two'])).status).toBe(0);
  expect(agent.seen.at(-1)).toContain('"Policies":[{"ID":"p1","Name":"one"},{"Name":"two"}]');
  expect((await run(['acl', 'token', 'update', ...at, '-policy-name=two'])).status).toBe(0);
  expect(agent.seen.at(-1)).toContain('"Policies":[{"Name":"two"}]');
  expect((await run(['acl', 'token', 'delete', ...at])).status).toBe(0);
});
