import { afterEach, describe, expect, it } from 'vitest';
import type { ConfigEntry } from '../../src/model/config-entry.ts';
import type { KindReplication, ReplicationStatus } from '../../src/model/replication.ts';
import {
  type AgentProcess,
  assertNoneLeft,
  type Bed,
  type Cut,
  callAgent,
  startBed,
  waitFor,
} from '../harness/index.ts';

const ENTRIES = 300;
/** Makes each entry big enough for a snapshot to be in many pieces. */
const PADDING = Object.fromEntries([...'abcdefgh'].map((key) => [key, key.repeat(500)]));
const ENTRY_BYTES = 4_200;

let bed: Bed | undefined;
afterEach(async () => {
  await bed?.stop();
  bed = undefined;
  await assertNoneLeft();
});

describe.each<{ how: Cut }>([{ how: 'black hole' }, { how: 'reset' }])('a WAN cut by $how', ({ how }) => {
  it('during a snapshot and while changes are followed, leaves the same state in both once it is healed', async () => {
    bed = await startBed();
    const { dc1, dc2 } = bed;

    // snapshot: dc2 begins with an empty store, and the WAN breaks when half of it has come
    await dc2.stop();
    await writeMany(dc1, 0, ENTRIES, 'first');
    bed.cutAfter((ENTRIES * ENTRY_BYTES) / 2, how);
    await dc2.restart({ data_dir: `${dc2.dataDir}-new`, node_id: '' });
    await waitFor(async () => bed?.wans.some((wan) => wan.state !== 'open'), { what: 'the cut amid the snapshot' });
    expect((await list(dc2)).length).toBe(0); // a part of a snapshot is never shown
    expect((await replication(dc2)).State).not.toBe('following');
    bed.heal();
    await sameEverywhere(dc1, dc2, ENTRIES);

    // following: changes of every kind are being made while the WAN breaks and while it is away
    bed.cutAfter(40 * ENTRY_BYTES, how);
    const writing = (async () => {
      await writeMany(dc1, 0, ENTRIES / 2, 'second');
      for (let at = ENTRIES - 40; at < ENTRIES; at += 1) await remove(dc1, at);
      await writeMany(dc1, ENTRIES, 50, 'third');
    })();
    await waitFor(async () => bed?.wans.some((wan) => wan.state !== 'open'), { what: 'the cut amid the changes' });
    await writing; // the primary takes writes without the secondary
    const before = await list(dc2);
    expect(before.some((entry) => entry.Meta?.round === 'first')).toBe(true);
    const refused = await dc2.http('PUT', '/v1/config', entryOf(1, 'while cut'));
    expect(refused.status).toBeGreaterThanOrEqual(500); // the primary decides, and it can't be reached
    bed.heal();
    await sameEverywhere(dc1, dc2, ENTRIES - 40 + 50);
    expect(snapshots(dc2)).toBe(1); // the rest was a continuation

    const status = await waitFor(
      async () => {
        const kind = await replication(dc2);
        return kind.State === 'following' && kind.LagRevisions === 0 && kind;
      },
      { what: 'replication without lag' },
    );
    expect(status).toMatchObject({ LagSeconds: 0, Quarantined: [], Reason: '' });
    expect((await dc2.http('PUT', '/v1/config', entryOf(1, 'healed'))).status).toBe(200);
    // read where it was written
    expect((await list(dc2)).find(({ Name }) => Name === 's1')?.Meta?.round).toBe('healed');
  }, 180_000);
});

function entryOf(at: number, round: string): ConfigEntry {
  return {
    Kind: 'service-defaults',
    Name: `s${at}`,
    Protocol: 'tcp',
    Meta: { round, ...PADDING },
  } as ConfigEntry;
}

async function writeMany(agent: AgentProcess, from: number, count: number, round: string): Promise<void> {
  const numbers = Array.from({ length: count }, (_, at) => from + at);
  for (let at = 0; at < numbers.length; at += 50)
    await Promise.all(
      numbers.slice(at, at + 50).map((number) => callAgent(agent, 'PUT', '/v1/config', entryOf(number, round))),
    );
}

async function remove(agent: AgentProcess, at: number): Promise<void> {
  await callAgent(agent, 'DELETE', `/v1/config/service-defaults/s${at}`);
}

async function list(agent: AgentProcess): Promise<(ConfigEntry & { readonly Meta?: Record<string, string> })[]> {
  return callAgent(agent, 'GET', '/v1/config/service-defaults');
}

async function replication(agent: AgentProcess): Promise<KindReplication> {
  const { Kinds } = await callAgent<ReplicationStatus>(agent, 'GET', '/v1/internal/replication');
  return Kinds.find(({ Kind }) => Kind === 'config-entries') as KindReplication;
}

async function sameEverywhere(dc1: AgentProcess, dc2: AgentProcess, count: number): Promise<void> {
  const contents = async (agent: AgentProcess): Promise<string[]> =>
    (await list(agent)).map(({ Name, Meta }) => `${Name} ${Meta?.round}`).sort();
  // Asked again each time: a write that was refused while the WAN was away may still have been on its way.
  await waitFor(
    async () => {
      const [one, other] = [await contents(dc1), await contents(dc2)];
      return one.length === count && JSON.stringify(one) === JSON.stringify(other);
    },
    { what: 'the same entries in both datacenters', timeout: 30_000 },
  );
}

function snapshots(agent: AgentProcess): number {
  const applied = agent.log().match(/"rows":[1-9][0-9]*,[^\n]*replication snapshot applied/g) ?? [];
  return applied.length;
}
