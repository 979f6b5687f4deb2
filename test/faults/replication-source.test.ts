import { cpSync, rmSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import type { ConfigEntry } from '../../src/model/config-entry.ts';
import type { KindReplication, ReplicationStatus } from '../../src/model/replication.ts';
import { joinKey } from '../../src/store/table.ts';
import {
  type AgentProcess,
  assertNoneLeft,
  type Bed,
  callAgent,
  isthmus,
  startBed,
  waitFor,
} from '../harness/index.ts';
import { inStoreOf } from './store-rows.ts';

const GOOD_BEFORE = 500;
const GOOD_AFTER = 499;

let bed: Bed | undefined;
afterEach(async () => {
  await bed?.stop();
  bed = undefined;
  await assertNoneLeft();
});

describe('a poisoned entry in the primary', () => {
  it('is set aside and listed, all others arrive, and once it is put right it arrives too', async () => {
    bed = await startBed();
    const { dc1, dc2 } = bed;
    await writeMany(dc1, 'before', GOOD_BEFORE);
    await dc1.stop();
    const poison = {
      Kind: 'service-intentions',
      Name: 'poisoned',
      Sources: [{ Name: 'web', Action: 'perhaps', Type: 'consul', Precedence: 9 }],
    };
    await inStoreOf(dc1.dataDir, (engine) =>
      engine.txn({
        compare: [],
        ops: [{ type: 'put', key: `config/${joinKey(poison.Kind, poison.Name)}`, value: JSON.stringify(poison) }],
      }),
    );
    await dc1.restart();
    await writeMany(dc1, 'after', GOOD_AFTER);
    await arrived(dc2, GOOD_BEFORE + GOOD_AFTER);
    const { Quarantined, State } = await replication(dc2);
    expect(State).toBe('following');
    expect(Quarantined).toEqual([
      expect.objectContaining({ Key: 'service-intentions/poisoned', Error: expect.stringContaining('Action') }),
    ]);
    const shown = await isthmus(['replication', 'status', '-http-addr', dc2.ready.http]);
    expect(shown.code).toBe(0);
    expect(shown.out).toContain('service-intentions/poisoned');
    expect(dc2.log().match(/entry quarantined/g)).toHaveLength(1);
    const metrics = await dc2.http('GET', '/v1/agent/metrics?format=prometheus');
    expect(metrics.body).toMatch(/isthmus_replication_quarantined_entries\{[^}]*\} 1\n/);

    // It stays set aside over a restart, and goes when the primary's entry is corrected.
    await dc2.restart();
    await waitFor(async () => (await replication(dc2)).State === 'following', { what: 'replication after a restart' });
    expect((await replication(dc2)).Quarantined).toHaveLength(1);
    const { Precedence: _precedence, ...source } = { ...poison.Sources[0], Action: 'deny' };
    await callAgent(dc1, 'PUT', '/v1/config', { ...poison, Sources: [source] });
    await waitFor(async () => (await replication(dc2)).Quarantined.length === 0, { what: 'the corrected entry' });
    expect((await dc2.http('GET', '/v1/config/service-intentions/poisoned')).status).toBe(200);
  }, 180_000);
});

describe('a primary that comes back with another store', () => {
  it('is not followed when the store is an older copy of its own, or a new one', async () => {
    const clusterId = '0b5ac0de-1111-2222-3333-444455556666';
    bed = await startBed({ dc1: { connect: { ca_config: { cluster_id: clusterId } } } });
    const { dc1, dc2 } = bed;
    const copy = `${dc1.dataDir}.copy`;
    await writeMany(dc1, 'old', 10);
    await dc1.stop();
    cpSync(dc1.dataDir, copy, { recursive: true });
    await dc1.restart();
    await writeMany(dc1, 'new', 10);
    await arrived(dc2, 20);
    const kept = await names(dc2);

    await dc1.stop();
    rmSync(dc1.dataDir, { recursive: true });
    cpSync(copy, dc1.dataDir, { recursive: true });
    await dc1.restart();
    const { Reason } = await refused(dc2);
    expect(Reason).toContain('went back in time');
    expect(Reason).toContain('"dc1"');
    expect(await names(dc2)).toEqual(kept);
    // Later writes make its revisions look new; its history is another one all the same.
    await writeMany(dc1, 'other-history', 40);
    await dc2.restart();
    expect((await refused(dc2)).Reason).toMatch(/went back in time|does not hold what was replicated/);
    expect(await names(dc2)).toEqual(kept);
    const shown = await isthmus(['replication', 'status', '-http-addr', dc2.ready.http]);
    expect(shown.out).toContain('refused');

    await dc1.stop();
    rmSync(dc1.dataDir, { recursive: true });
    await dc1.restart();
    await waitFor(async () => (await replication(dc2)).Reason.includes('is another one than before'), {
      what: 'the empty store being refused',
      timeout: 30_000,
    });
    expect(await names(dc2)).toEqual(kept);
    expect(dc2.log()).toMatch(/"level":"error"[^\n]*replication refused/);
    // It goes on to serve what it has.
    expect((await dc2.http('GET', '/v1/agent/connect/ca/leaf/new-service')).status).toBe(200);
    rmSync(copy, { recursive: true });
  }, 180_000);

  it('is not even linked when the new store made another trust domain', async () => {
    bed = await startBed();
    const { dc1, dc2 } = bed;
    await writeMany(dc1, 'old', 10);
    await arrived(dc2, 10);
    const kept = await names(dc2);
    const leaf = await callAgent<{ ServiceURI: string }>(dc2, 'GET', '/v1/agent/connect/ca/leaf/db');
    await dc1.stop();
    rmSync(dc1.dataDir, { recursive: true });
    await dc1.restart();
    for (const agent of bed.agents) {
      await waitFor(async () => agent.log().includes('their certificates were made by different authorities'), {
        what: `the refusal in the log of ${agent.name}`,
        timeout: 30_000,
      });
    }
    expect((await dc2.http('GET', '/v1/internal/links')).body).toContain('made by different authorities');
    expect(await names(dc2)).toEqual(kept);
    const again = await callAgent<{ ServiceURI: string }>(dc2, 'GET', '/v1/agent/connect/ca/leaf/new-service');
    expect(again.ServiceURI.split('/')[2]).toBe(leaf.ServiceURI.split('/')[2]);
  }, 120_000);
});

async function writeMany(agent: AgentProcess, prefix: string, count: number): Promise<void> {
  for (let from = 0; from < count; from += 50) {
    const part = Array.from({ length: Math.min(50, count - from) }, (_, at) => `${prefix}-${from + at}`);
    await Promise.all(
      part.map((Name) =>
        callAgent(agent, 'PUT', '/v1/config', {
          Kind: 'service-intentions',
          Name,
          Sources: [{ Name: 'web', Action: 'deny' }],
        }),
      ),
    );
  }
}

async function names(agent: AgentProcess): Promise<string[]> {
  const entries = await callAgent<readonly ConfigEntry[]>(agent, 'GET', '/v1/config/service-intentions');
  return entries.map(({ Name }) => Name).sort();
}

async function arrived(agent: AgentProcess, count: number): Promise<void> {
  await waitFor(async () => (await names(agent)).length === count, { what: `${count} entries`, timeout: 30_000 });
}

async function replication(agent: AgentProcess): Promise<KindReplication> {
  const { Kinds } = await callAgent<ReplicationStatus>(agent, 'GET', '/v1/internal/replication');
  return Kinds.find(({ Kind }) => Kind === 'config-entries') as KindReplication;
}

async function refused(agent: AgentProcess): Promise<KindReplication> {
  return waitFor(
    async () => {
      const kind = await replication(agent);
      return kind.State === 'refused' && kind;
    },
    { what: 'the source being refused', timeout: 30_000 },
  );
}
