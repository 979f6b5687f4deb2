import { afterAll, describe, expect, it } from 'vitest';
import type { CaRoots, RotationPhase, RotationStatus } from '../../src/model/ca.ts';
import type { CaStatus } from '../../src/model/requests.ts';
import { chainOfLeaf, rootOf } from '../e2e/certificates.ts';
import {
  type AgentProcess,
  assertNoneLeft,
  type Bed,
  type Cut,
  callAgent,
  startBed,
  startLoad,
  waitFor,
} from '../harness/index.ts';

const NEW_PER_SECOND = 40;
const KEPT = 10;
/** With so many certificates and so few signatures a second, the moving takes long enough to be met by the cut. */
const LEAVES = 12;
const SIGNATURES_PER_SECOND = 4;
/** A cut link must be found by then. */
const FOUND_WITHIN_MS = 15_000;

const beds: Bed[] = [];
afterAll(async () => {
  await Promise.all(beds.map((bed) => bed.stop()));
  await assertNoneLeft();
});

// Both mostly wait, for what a cut link takes to be found and for an old root to go: side by side they take half the
// time.
describe.concurrent.each<{ how: Cut }>([{ how: 'black hole' }, { how: 'reset' }])('a WAN cut by $how', ({ how }) => {
  it('in every phase of a rotation fails no connection, and both datacenters end under the new root', async () => {
    const bed = await startBed({ dc1: { connect: { ca_config: { csr_max_per_second: SIGNATURES_PER_SECOND } } } });
    beds.push(bed);
    const { dc1, dc2 } = bed;
    const { web } = await bed.webToDb();
    const services = Array.from({ length: LEAVES }, (_, at) => `native-${at}`);
    await Promise.all(bed.agents.flatMap((agent) => services.map((service) => leafSoon(agent, service))));
    const load = await startLoad(web.upstreamPort, NEW_PER_SECOND, KEPT);

    // distributing: dc2 can't hear of the new root, so that nothing may move before dc1 knows that it is cut off
    bed.cut(how);
    const cutAt = performance.now();
    const { NewRootID } = await callAgent<{ NewRootID: string }>(dc1, 'PUT', '/v1/connect/ca/rotate');
    expect(await phase(dc1)).toBe('distributing');
    const rows: string[] = [];
    await waitFor(async () => (await dc1.http('GET', '/v1/catalog/nodes?dc=dc2')).status === 500, {
      what: 'dc1 finding the cut',
      timeout: FOUND_WITHIN_MS,
    });
    rows.push(`dc1 found the cut after ${Math.round(performance.now() - cutAt)} ms`);
    await waitFor(async () => (await dc2.http('GET', '/v1/catalog/nodes?dc=dc1')).status === 500, {
      what: 'dc2 finding the cut',
      timeout: FOUND_WITHIN_MS - (performance.now() - cutAt) + 200,
    });
    // Without dc2 the rotation goes on in dc1, and connections between the two roots must still work.
    await phaseIs(dc1, ['moving', 'draining']);
    await leafSoon(dc2, 'new-while-cut');
    bed.heal();
    const healedAt = performance.now();
    await waitFor(async () => (await callAgent<CaRoots>(dc2, 'GET', '/v1/connect/ca/roots')).Roots.length === 2, {
      what: 'dc2 hearing of the new root',
    });
    rows.push(`dc2 heard of the new root ${Math.round(performance.now() - healedAt)} ms after healing`);

    // moving: of dc2's certificates, some have moved and some have not
    await waitFor(
      async () => {
        const { ActiveRootID } = await callAgent<CaStatus>(dc2, 'GET', '/v1/connect/ca/status');
        return ActiveRootID === NewRootID;
      },
      { what: "dc2's new intermediate" },
    );
    bed.cut(how);
    const movedAtCut = await moved(dc2, services, NewRootID);
    rows.push(`cut again when ${movedAtCut} of ${LEAVES} certificates of dc2 had moved`);
    // The leaves need nothing of dc1 any more.
    await waitFor(async () => (await moved(dc2, services, NewRootID)) === LEAVES, {
      what: 'all certificates of dc2 moving',
      timeout: 30_000,
    });
    bed.heal();

    // draining: the last reports have to come through
    await phaseIs(dc1, ['draining']);
    bed.cut(how);
    const opened = load.counts.opened + NEW_PER_SECOND;
    await waitFor(async () => load.counts.opened > opened, { what: 'load while cut' });
    bed.heal();
    await phaseIs(dc1, ['idle']);

    for (const agent of bed.agents) {
      const [root, ...others] = await waitFor(
        async () => {
          const { Roots } = await callAgent<CaRoots>(agent, 'GET', '/v1/connect/ca/roots');
          return Roots.length === 1 && Roots;
        },
        { what: `one root in ${agent.name}` },
      );
      expect(others).toEqual([]);
      expect(root?.ID).toBe(NewRootID);
      for (const service of services) {
        const pem = root?.RootCert ?? '';
        expect(rootOf(await chainOfLeaf(agent, service), [pem])).toBe(pem);
      }
    }
    const counts = await load.stop();
    expect(counts.errors).toEqual([]);
    expect(counts).toMatchObject({ failed: 0, longLivedFailed: 0 });
    console.log(`${how}: ${rows.join('; ')}; ${counts.opened} new connections, 0 failed`);
  }, 180_000);
});

async function phase(agent: AgentProcess): Promise<RotationPhase> {
  return (await callAgent<RotationStatus>(agent, 'GET', '/v1/connect/ca/rotation')).Phase;
}

async function phaseIs(agent: AgentProcess, wanted: readonly RotationPhase[]): Promise<void> {
  await waitFor(async () => wanted.includes(await phase(agent)), {
    what: `the rotation being ${wanted.join(' or ')}`,
    timeout: 60_000,
  });
}

/** How many of an agent's certificates end in a root. */
async function moved(agent: AgentProcess, services: readonly string[], rootId: string): Promise<number> {
  const { Roots } = await callAgent<CaRoots>(agent, 'GET', '/v1/connect/ca/roots');
  const pem = Roots.find((root) => root.ID === rootId)?.RootCert;
  if (pem === undefined) return 0;
  const chains = await Promise.all(services.map((service) => chainOfLeaf(agent, service)));
  return chains.filter(
    (chain) =>
      rootOf(
        chain,
        Roots.map((root) => root.RootCert),
      ) === pem,
  ).length;
}

/** The CA may say that it signs no more at the moment: asked again then, as any client would. */
async function leafSoon(agent: AgentProcess, service: string): Promise<void> {
  await waitFor(async () => (await agent.http('GET', `/v1/agent/connect/ca/leaf/${service}`)).status === 200, {
    what: `the certificate of ${service}`,
  });
}
