import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { RotationStatus } from '../../src/model/ca.ts';
import type { ReplicationStatus } from '../../src/model/replication.ts';
import type { RestoredRow } from '../../src/store/engine.ts';
import { openLmdbEngine } from '../../src/store/lmdb/lmdb-engine.ts';
import { FakeClock } from '../fakes/fake-clock.ts';
import { startEtcd, withoutEtcd } from '../harness/etcd.ts';
import {
  type AgentProcess,
  ask,
  assertNoneLeft,
  type Bed,
  BINARY,
  callAgent,
  isthmus,
  LongLived,
  type Machine,
  previousRelease,
  startAgent,
  startBed,
  startLoad,
  startMachines,
  waitFor,
  withoutMachines,
} from '../harness/index.ts';
import { startServers } from '../harness/servers.ts';

/**
 * The version before this one: the newest tag, and until there is one the commit at which the last round of work ended.
 */
const BEFORE = previousRelease('1f3c64e');

const title = (text: string, { missing, ref }: { missing: string; ref: string }): string =>
  missing === '' ? `${text} (${ref})` : `${text} (skipped: ${missing})`;

const running: { stop(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const process of running.splice(0).reverse()) await process.stop();
  await assertNoneLeft();
});

const deny = (agent: AgentProcess, source: string): Promise<unknown> =>
  callAgent(agent, 'PUT', `/v1/connect/intentions/exact?source=${source}&destination=db`, { Action: 'deny' });

async function allowed(agent: AgentProcess, source: string): Promise<boolean> {
  const path = `/v1/connect/intentions/check?source=${source}&destination=db`;
  return (await callAgent<{ Allowed: boolean }>(agent, 'GET', path)).Allowed;
}

const exact = (source: string, destination: string): string =>
  `/v1/connect/intentions/exact?source=${source}&destination=${destination}`;

/** Whether an agent denies a pair in each of some spellings. */
async function denies(agent: AgentProcess, spellings: readonly (readonly [string, string])[]): Promise<boolean> {
  const all = spellings.map(async ([source, destination]) => {
    const path = `/v1/connect/intentions/check?source=${source}&destination=${destination}`;
    return (await callAgent<{ Allowed: boolean }>(agent, 'GET', path)).Allowed;
  });
  return (await Promise.all(all)).every((allows) => !allows);
}

const SPELLINGS = [
  ['Shop', 'Bank'],
  ['shop', 'bank'],
  ['SHOP', 'bANK'],
] as const;

/** What two datacenters must do for each other, whichever versions they run; `round` names what is written. */
async function worksTogether({ dc1, dc2 }: Bed, round: string): Promise<void> {
  await waitFor(
    async () => {
      const { Kinds } = await callAgent<ReplicationStatus>(dc2, 'GET', '/v1/internal/replication');
      return Kinds.every(({ State }) => State === 'following');
    },
    { what: `${round}: replication` },
  );
  for (const [at, agent] of [dc1, dc2].entries()) {
    const source = `${round}-${at}`;
    await deny(agent, source); // decided by the primary, wherever it is asked
    for (const each of [dc1, dc2])
      await waitFor(async () => !(await allowed(each, source)), { what: `${round}: the intention of ${agent.name}` });
    const far = agent === dc1 ? 'dc2' : 'dc1';
    await waitFor(() => callAgent<unknown[]>(agent, 'GET', `/v1/catalog/nodes?dc=${far}`), {
      what: `${round}: nodes of ${far}`,
    });
  }
}

let previous: string;
beforeAll(() => {
  if (BEFORE.missing === '') previous = BEFORE.build();
}, 120_000);

describe.skipIf(BEFORE.missing !== '')(title('two datacenters, one of them not upgraded yet', BEFORE), () => {
  it('work together in either order, and are upgraded under load without a failed connection', async () => {
    const bed = await startBed({ binaries: { dc1: previous, dc2: previous } });
    running.push(bed);
    const { dc1, dc2 } = bed;
    const { web } = await bed.webToDb();
    await worksTogether(bed, 'before');
    // The version before takes these for two services.
    await callAgent(dc1, 'PUT', exact('Shop', 'Bank'), { Action: 'deny' });
    await callAgent(dc1, 'PUT', exact('shop', 'bank'), { Action: 'allow' });
    await waitFor(() => denies(dc2, SPELLINGS.slice(0, 1)), { what: 'the intention of Bank in dc2' });
    const before = await callAgent<{ TrustDomain: string }>(dc1, 'GET', '/v1/connect/ca/roots');
    await dc2.restart(undefined, BINARY);
    await worksTogether(bed, 'secondary');
    expect(await denies(dc2, SPELLINGS)).toBe(true);
    // and back: the newest release can be left again while nothing asks for more
    await dc2.restart(undefined, previous);
    await worksTogether(bed, 'back');
    expect(await denies(dc2, SPELLINGS.slice(0, 1))).toBe(true); // both are as the primary has them
    expect(await denies(dc2, SPELLINGS.slice(1, 2))).toBe(false);
    // The version before makes checks critical when its agent restarts; that has passed when the way is open again.
    await waitFor(() => ask(web.upstreamPort, 'hello'), { what: 'the way from web to db' });
    const load = await startLoad(web.upstreamPort, 50, 2);
    running.push(load);
    const long = await LongLived.open(web.upstreamPort);

    await dc1.restart(undefined, BINARY);
    await worksTogether(bed, 'primary');
    expect(await denies(dc1, SPELLINGS)).toBe(true);
    await waitFor(() => denies(dc2, SPELLINGS.slice(1, 2)), { what: 'one intention of bank in the old version' });
    // A rotation while the versions are mixed, over the sidecars of the version before.
    const { NewRootID } = await rotate(dc1);
    await waitFor(
      async () =>
        (await callAgent<{ ActiveRootID: string }>(dc2, 'GET', '/v1/connect/ca/roots')).ActiveRootID === NewRootID,
      { what: 'the new root in the datacenter of the version before', timeout: 30_000 },
    );
    await dc2.restart(undefined, BINARY);
    await worksTogether(bed, 'both');
    expect(await denies(dc2, SPELLINGS)).toBe(true);

    await long.ask();
    long.close();
    const counts = await load.stop();
    running.pop();
    expect(counts.errors).toEqual([]);
    expect([counts.failed, counts.longLivedFailed]).toEqual([0, 0]);
    expect((await callAgent<{ TrustDomain: string }>(dc1, 'GET', '/v1/connect/ca/roots')).TrustDomain).toBe(
      before.TrustDomain,
    );
    for (const round of ['before', 'secondary', 'back', 'primary'])
      expect(await allowed(dc2, `${round}-0`)).toBe(false);
  }, 120_000);
});

describe.skipIf(BEFORE.missing !== '')(title('a datacenter of the version before', BEFORE), () => {
  it('keeps fields of a later version', async () => {
    const bed = await startBed({ binaries: { dc2: previous } });
    running.push(bed);
    const { dc1, dc2 } = bed;
    await callAgent(dc1, 'PUT', '/v1/config', { Kind: 'service-defaults', Name: 'web', Protocol: 'http' });
    await dc1.stop();
    // As a later version would have written it.
    await rewrite(join(dc1.dataDir, 'store'), (rows) =>
      rows.map((row) =>
        row.key.startsWith('config/service-defaults/')
          ? { ...row, value: JSON.stringify({ ...JSON.parse(row.value), Later: { deep: [1, { x: null }] } }) }
          : row,
      ),
    );
    await dc1.restart();
    const arrived = (): Promise<Record<string, unknown>> => callAgent(dc2, 'GET', '/v1/config/service-defaults/web');
    await waitFor(async () => (await arrived()).Later !== undefined, { what: 'the entry in dc2' });
    await dc2.stop();
    const later: unknown[] = [];
    await rewrite(join(dc2.dataDir, 'store'), (rows) => {
      for (const row of rows)
        if (row.key.startsWith('config/service-defaults/')) later.push(JSON.parse(row.value).Later);
      return rows;
    });
    expect(later).toEqual([{ deep: [1, { x: null }] }]);
  }, 60_000);
});

/** True once all name the same leader. */
async function oneLeader(agents: readonly AgentProcess[]): Promise<boolean> {
  const leaders = await Promise.all(agents.map((each) => callAgent<string>(each, 'GET', '/v1/status/leader')));
  return new Set(leaders).size === 1 && leaders[0] !== '';
}

async function rotate(agent: AgentProcess): Promise<RotationStatus> {
  await callAgent(agent, 'PUT', '/v1/connect/ca/rotate');
  return callAgent<RotationStatus>(agent, 'GET', '/v1/connect/ca/rotation');
}

/** Changes what a stopped server has stored. */
async function rewrite(path: string, change: (rows: RestoredRow[]) => RestoredRow[]): Promise<void> {
  const engine = await openLmdbEngine({
    path,
    clock: new FakeClock(),
    onError: (what, error) => {
      throw new Error(`${what}: ${error.message}`);
    },
  });
  const { rows } = await engine.range({ prefix: '' });
  const now = change(rows.map(({ key, value }) => ({ key, value })));
  const ops = now
    .filter((row) => rows.find(({ key }) => key === row.key)?.value !== row.value)
    .map((row) => ({ type: 'put', ...row }) as const);
  await engine.txn({ compare: [], ops });
  await engine.close();
}

const noEtcd = withoutEtcd();

describe.skipIf(BEFORE.missing !== '' || noEtcd !== undefined)(
  title(
    `three servers on etcd${noEtcd === undefined ? '' : ` (skipped: ${noEtcd})`}, upgraded one after the other`,
    BEFORE,
  ),
  () => {
    it('serve and decide together in every mixture; what was acknowledged stays', async () => {
      const etcd = await startEtcd();
      running.push(etcd);
      const cluster = await startServers({ etcd, binary: previous });
      running.push(cluster);
      const agents = cluster.servers.map(({ agent }) => agent);
      const [first] = agents as [AgentProcess];
      const written: string[] = [];
      let writing = true;
      // Each write goes to a server that runs; a server that is stopped at that moment is asked in vain.
      const writer = (async () => {
        for (let n = 0; writing; n += 1) {
          const agent = agents[n % agents.length] as AgentProcess;
          const answer = await agent
            .http('PUT', '/v1/catalog/register', {
              Node: `n${n % 40}`,
              Address: '10.0.0.1',
              Service: { Service: `s${n}` },
            })
            .catch(() => undefined);
          if (answer?.status === 200) written.push(`s${n}`);
        }
      })();
      const root = async (agent: AgentProcess): Promise<string> =>
        (await callAgent<{ ActiveRootID: string }>(agent, 'GET', '/v1/connect/ca/roots')).ActiveRootID;
      await waitFor(async () => written.length > 20, { what: 'writes' });
      const active = await root(first);
      for (const agent of agents) {
        await agent.restart(undefined, BINARY);
        const at = written.length;
        await waitFor(async () => written.length > at + 30, { what: 'writes in the mixture' });
        for (const each of agents) {
          expect(await root(each)).toBe(active);
          const leaf = await each.http('GET', '/v1/agent/connect/ca/leaf/web');
          expect(leaf.status, leaf.body).toBe(200);
        }
        await waitFor(() => oneLeader(agents), { what: 'one leader for all' });
      }
      writing = false;
      await writer;
      for (const agent of agents) {
        const services = await callAgent<Record<string, unknown>>(agent, 'GET', '/v1/catalog/services?consistent');
        for (const name of written) expect(services).toHaveProperty(name);
      }
    }, 120_000);
  },
);

const noMachines = withoutMachines();

describe.skipIf(BEFORE.missing !== '' || noMachines !== undefined)(
  title(`machines that spoke plain text${noMachines === undefined ? '' : ` (skipped: ${noMachines})`}`, BEFORE),
  () => {
    it('are upgraded and moved to certificates, and no acknowledged write is lost', async () => {
      const folder = mkdtempSync(join(tmpdir(), 'isthmus-upgrade-'));
      const { machines, ...net } = await startMachines(3);
      running.push(net);
      const start = async (at: number, name: string, datacenter: string, config: object): Promise<AgentProcess> => {
        const { address, runs } = machines[at] as Machine;
        const agent = await startAgent({
          ...{ name, datacenter, binary: runs(previous) },
          config: { primary_datacenter: 'dc1', bind_addr: address, client_addr: address, ...config },
        });
        running.push(agent);
        return agent;
      };
      const dc1 = await start(0, 'dc1-s1', 'dc1', {});
      const dc2 = await start(1, 'dc2-s1', 'dc2', { retry_join_wan: [dc1.ready.serf_wan] });
      const client = await start(2, 'client', 'dc1', { server: false, retry_join: [dc1.ready.serf_lan] });
      const known = async (): Promise<boolean> => {
        const lists = await Promise.all(
          [dc1, dc2, client].map((each) => callAgent<string[]>(each, 'GET', '/v1/catalog/datacenters')),
        );
        return lists.every(({ length }) => length === 2);
      };
      await waitFor(known, { what: 'the federation' });
      const written: string[] = [];
      let writing = true;
      const writer = (async () => {
        for (let n = 0; writing; n += 1) {
          // Through each of them in turn; those of dc2 are decided in dc1.
          const agent = [dc1, client, dc2][n % 3] as AgentProcess;
          const answer = await agent.http('PUT', exact(`s${n}`, 'db'), { Action: 'deny' }).catch(() => undefined);
          if (answer?.status === 200) written.push(`s${n}`);
        }
      })();
      const goOn = async (round: string): Promise<void> => {
        await waitFor(known, { what: `${round}: both datacenters, known everywhere` });
        for (const agent of [dc1, dc2, client]) {
          const path = exact(`${round}-${agent.name}`, 'db');
          await waitFor(async () => (await agent.http('PUT', path, { Action: 'deny' })).status === 200, {
            what: `${round}: a write through ${agent.name}`,
          });
          written.push(`${round}-${agent.name}`);
        }
      };
      const restart = async (
        at: number,
        agent: AgentProcess,
        round: string,
        config: Record<string, unknown>,
      ): Promise<void> => {
        await agent.restart(config, (machines[at] as Machine).runs());
        await goOn(`${round}-${at}`);
      };
      const invite = async (...args: string[]): Promise<string> => {
        const file = join(folder, `${args.join('')}.invitation`);
        const made = await isthmus(['federation', 'invite', '-http-addr', dc1.ready.http, '-out', file, ...args]);
        expect(made.code, made.err).toBe(0);
        return file;
      };

      // As docs/upgrades.md says.
      await goOn('before');
      await restart(0, dc1, 'upgraded', { allow_plaintext: true });
      await restart(2, client, 'upgraded', { allow_plaintext: true });
      await restart(1, dc2, 'upgraded', { allow_plaintext: true });
      await restart(1, dc2, 'invited', { join_invite: await invite('-joining', 'dc2') });
      await restart(2, client, 'invited', { join_invite: await invite('-agent') });
      await restart(1, dc2, 'guarded', { allow_plaintext: false, join_invite: '' });
      await restart(0, dc1, 'guarded', { allow_plaintext: false });
      await restart(2, client, 'guarded', { allow_plaintext: false, join_invite: '' });

      writing = false;
      await writer;
      for (const agent of [dc1, dc2])
        await waitFor(
          async () => {
            const all = await callAgent<{ SourceName: string }[]>(agent, 'GET', '/v1/connect/intentions');
            const names = new Set(all.map(({ SourceName }) => SourceName));
            return written.every((name) => names.has(name));
          },
          { what: `all ${written.length} writes in ${agent.name}` },
        );
      // A machine that still speaks plain text is refused now.
      await client.restart({ allow_plaintext: true, data_dir: join(folder, 'other'), node_name: 'other' });
      await waitFor(async () => dc1.log().includes('it spoke plain text'), { what: 'the refusal' });
      rmSync(folder, { recursive: true, force: true });
    }, 120_000);
  },
);
