import { afterEach, describe, expect, it } from 'vitest';
import type { CaRoots } from '../../src/model/ca.ts';
import type { ReplicationStatus } from '../../src/model/replication.ts';
import {
  type AgentProcess,
  assertNoneLeft,
  type Bed,
  callAgent,
  type EtcdCluster,
  isthmus,
  startBed,
  startEtcd,
  waitFor,
  withoutEtcd,
} from '../harness/index.ts';

let etcd: EtcdCluster | undefined;
let bed: Bed | undefined;

afterEach(async () => {
  await bed?.stop();
  await etcd?.stop();
  await assertNoneLeft();
});

const intend = (agent: AgentProcess, source: string): Promise<unknown> =>
  callAgent(agent, 'PUT', `/v1/connect/intentions/exact?source=${source}&destination=db`, { Action: 'allow' });
const sources = async (agent: AgentProcess): Promise<string[]> => {
  const list = await callAgent<{ SourceName: string }[]>(agent, 'GET', '/v1/connect/intentions');
  return list.map(({ SourceName }) => SourceName).sort();
};
const following = (agent: AgentProcess): Promise<unknown> =>
  waitFor(
    async () => {
      const { Kinds } = await callAgent<ReplicationStatus>(agent, 'GET', '/v1/internal/replication');
      return Kinds.length > 0 && Kinds.every(({ State, LagRevisions }) => State === 'following' && LagRevisions === 0);
    },
    { what: 'replication to follow' },
  );
const index = async (agent: AgentProcess, path: string): Promise<number> =>
  Number((await agent.http('GET', path)).headers['x-consul-index']);

async function move(agent: AgentProcess, from: string, to: string, ...more: string[]): ReturnType<typeof isthmus> {
  return isthmus(['store', 'migrate', '-config-file', `${agent.dataDir}.json`, `-from=${from}`, `-to=${to}`, ...more]);
}

// Skipped only where there is no etcd, which says so; in CI that is an error.
describe.skipIf(withoutEtcd() !== undefined)('isthmus store migrate', () => {
  it('moves the primary, then the secondary, then back, and nobody starts over', { timeout: 120_000 }, async () => {
    etcd = await startEtcd();
    const storage = { engine: 'embedded', etcd: { endpoints: etcd.endpoints } };
    // No DNS: its port, given by the system, may be somebody else's after a restart.
    bed = await startBed({ config: { storage, ports: { dns: -1 } } });
    const { dc1, dc2 } = bed;
    for (const name of ['a', 'b', 'c']) await intend(dc1, name);
    await waitFor(async () => (await sources(dc2)).length === 3, { what: 'the intentions in dc2' });
    const { TrustDomain } = await callAgent<CaRoots>(dc1, 'GET', '/v1/connect/ca/roots');
    const begun = dc2.log().length;

    const inUse = await move(dc1, 'embedded', 'etcd');
    expect([inUse.code, inUse.err]).toEqual([1, expect.stringMatching(/already open in process \d+; stop that one/)]);
    expect(etcd.ctl('get', '--prefix', '--keys-only', 'isthmus/dc1/g/').trim()).toBe('');

    const moveAll = async (agent: AgentProcess, from: string, to: string, ...more: string[]): Promise<void> => {
      const paths = ['/v1/connect/intentions', '/v1/catalog/nodes'];
      const before = await Promise.all(paths.map((path) => index(agent, path)));
      const rows = await callAgent<{ ModifyIndex: number }[]>(agent, 'GET', '/v1/connect/intentions');
      await agent.stop();
      const moved = await move(agent, from, to, '-format=json', ...more);
      expect(moved.err).toContain('verifying rows');
      const told = JSON.parse(moved.out) as {
        Rows: number;
        Epoch: string;
        FromRevision: number;
        ToRevision: number;
      };
      expect(told.ToRevision).toBeGreaterThan(told.FromRevision);
      await agent.restart({ storage: { ...storage, engine: to } });
      await waitFor(async () => (await sources(agent)).length === 3, { what: 'the intentions after the move' });
      const after = await Promise.all(paths.map((path) => index(agent, path)));
      expect(after.every((value, at) => value >= (before[at] ?? 0))).toBe(true);
      const kept = await callAgent<{ ModifyIndex: number }[]>(agent, 'GET', '/v1/connect/intentions');
      expect(kept).toEqual(rows);
      expect((await callAgent<CaRoots>(agent, 'GET', '/v1/connect/ca/roots')).TrustDomain).toBe(TrustDomain);
      await following(dc2);
    };
    await moveAll(dc1, 'embedded', 'etcd');
    await moveAll(dc2, 'embedded', 'etcd');

    const running = await move(dc2, 'etcd', 'embedded', '-force');
    expect([running.code, running.err]).toEqual([1, expect.stringContaining('in use by server "dc2-s1"')]);
    await dc1.stop();
    const full = await move(dc1, 'etcd', 'embedded');
    expect([full.code, full.err]).toEqual([1, expect.stringContaining('-force replaces it')]);
    await dc1.restart({ storage: { ...storage, engine: 'etcd' } });
    await waitFor(async () => (await sources(dc1)).length === 3, { what: 'dc1 to be as it was' });

    await moveAll(dc1, 'etcd', 'embedded', '-force');
    await moveAll(dc2, 'etcd', 'embedded', '-force');
    await intend(dc2, 'd');
    await waitFor(async () => (await sources(dc1)).includes('d'), { what: 'a new intention' });
    expect(await sources(dc2)).toEqual(['a', 'b', 'c', 'd']);
    // dc2 went on from where it was: what it read anew it had already, it deleted nothing and refused nothing.
    const since = dc2.log().slice(begun);
    for (const line of since.split('\n').filter((text) => text.includes('replication snapshot applied'))) {
      expect(JSON.parse(line)).toMatchObject({ changed: 0, deletes: 0 });
    }
    expect(since).not.toContain('replication refused');
  });
});
