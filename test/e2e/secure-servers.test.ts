import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type AgentProcess,
  callAgent,
  type EtcdCluster,
  isthmus,
  startAgent,
  startEtcd,
  waitFor,
  withoutEtcd,
} from '../harness/index.ts';
import { type ServerCluster, startServers } from '../harness/servers.ts';

/**
 * Servers of a store share its authority; a datacenter whose first server joined by an invitation has others without
 * one.
 */

const folder = mkdtempSync(join(tmpdir(), 'isthmus-secure-servers-'));
const others: AgentProcess[] = [];
let etcd: EtcdCluster | undefined;
let dc1: ServerCluster | undefined;

async function serverOfDc2(name: string, args: readonly string[]): Promise<AgentProcess> {
  const agent = await startAgent({
    name,
    datacenter: 'dc2',
    config: {
      primary_datacenter: 'dc1',
      storage: { engine: 'etcd', etcd: { endpoints: etcd?.endpoints } },
    },
    args,
  });
  others.push(agent);
  return agent;
}

const wanMembers = async (agent: AgentProcess): Promise<number> =>
  (await callAgent<readonly { Status: number }[]>(agent, 'GET', '/v1/agent/members?wan=1')).filter(
    ({ Status }) => Status === 1,
  ).length;

describe.skipIf(withoutEtcd() !== undefined)('several servers with certificates without files', () => {
  beforeAll(async () => {
    etcd = await startEtcd();
    dc1 = await startServers({ etcd, count: 2, config: { tls: { internal_rpc: { managed: true } } } });
  }, 60_000);

  afterAll(async () => {
    await Promise.all(others.map((agent) => agent.stop()));
    await dc1?.stop();
    await etcd?.stop();
    rmSync(folder, { recursive: true });
  });

  it('join by one invitation, and go on without the server that used it', async () => {
    const [first, second] = (dc1 as ServerCluster).servers.map(({ agent }) => agent) as [AgentProcess, AgentProcess];
    const file = join(folder, 'dc2.invitation');
    const made = await isthmus(['federation', 'invite', '-http-addr', second.ready.http, '-out', file]);
    expect(made.code).toBe(0);
    const joined = await serverOfDc2('dc2-s1', ['-join-invite', file]);
    const follower = await serverOfDc2('dc2-s2', []);
    for (const agent of [first, second, joined, follower])
      await waitFor(async () => (await wanMembers(agent)) === 4, {
        what: `${agent.name} to be linked with all servers`,
        timeout: 30_000,
      });
    await joined.kill9();
    const intention = '/v1/connect/intentions/exact?source=web&destination=db';
    await waitFor(async () => (await follower.http('PUT', intention, { Action: 'allow' })).status === 200, {
      what: 'a write through the server that had no invitation',
      timeout: 30_000,
    });
    // Asked of each server of the primary, so also over the connection between its servers.
    for (const agent of [first, second]) await callAgent(agent, 'GET', '/v1/catalog/nodes?consistent&dc=dc2');
    expect(follower.log()).not.toContain('not protected');
  });
});
