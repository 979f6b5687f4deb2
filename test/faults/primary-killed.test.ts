import { afterEach, describe, expect, it } from 'vitest';
import type { CaRoots, RotationStatus } from '../../src/model/ca.ts';
import { chainOfLeaf, rootOf } from '../e2e/certificates.ts';
import {
  assertNoneLeft,
  type Bed,
  callAgent,
  type Random,
  seeded,
  startBed,
  startLoad,
  waitFor,
} from '../harness/index.ts';
import { IntentionWriters, intentionsText } from './intention-writers.ts';

const NEW_PER_SECOND = 30;
const KEPT = 5;
const KILLS_WHILE_WRITING = 4;
const KILLS_WHILE_ROTATING = 4;
const WRITES_BETWEEN = 15;
const LEAVES = 8;

let bed: Bed | undefined;
afterEach(async () => {
  await bed?.stop();
  bed = undefined;
  await assertNoneLeft();
});

describe("the primary's server killed at random moments", () => {
  it('loses nothing acknowledged, leaves the secondary serving, and finishes its rotation', async () => {
    bed = await startBed({ dc1: { connect: { ca_config: { csr_max_per_second: 20 } } } });
    const { dc1, dc2 } = bed;
    const { web } = await bed.webToDb();
    const random = seeded();
    const told = `seed ${random.seed}`;
    const services = Array.from({ length: LEAVES }, (_, at) => `native-${at}`);
    for (const agent of bed.agents) for (const service of services) await chainOfLeaf(agent, service);
    const load = await startLoad(web.upstreamPort, NEW_PER_SECOND, KEPT);

    const writers = new IntentionWriters(random);
    const writing = new AbortController();
    const written = writeUntil(writing.signal, bed, writers, random);
    for (let kill = 0; kill < KILLS_WHILE_WRITING; kill += 1) {
      const enough = writers.counts.acknowledged + WRITES_BETWEEN;
      await waitFor(async () => writers.counts.acknowledged >= enough, { what: `${WRITES_BETWEEN} further writes` });
      await pause(random.between(0, 100));
      await dc1.kill9();
      // A new service of dc2 gets its certificate from dc2's own authority, known ones keep theirs.
      await chainOfLeaf(dc2, `born-while-dc1-was-dead-${kill}`);
      await dc1.restart();
    }
    writing.abort();
    await written;
    await waitFor(async () => (await intentionsText(dc1)) === (await intentionsText(dc2)), {
      what: `the same intentions in both datacenters (${told})`,
      timeout: 30_000,
    });
    for (const agent of bed.agents) expect(await writers.wrongIn(agent), told).toEqual([]);

    const { NewRootID } = await callAgent<{ NewRootID: string }>(dc1, 'PUT', '/v1/connect/ca/rotate');
    const killedIn: string[] = [];
    for (let kill = 0; kill < KILLS_WHILE_ROTATING; kill += 1) {
      await pause(random.between(0, kill < 2 ? 150 : 700)); // the first phases are short
      killedIn.push((await callAgent<RotationStatus>(dc1, 'GET', '/v1/connect/ca/rotation')).Phase);
      await dc1.kill9();
      await chainOfLeaf(dc2, `born-amid-a-rotation-${kill}`);
      await dc1.restart();
    }
    await waitFor(
      async () => (await callAgent<RotationStatus>(dc1, 'GET', '/v1/connect/ca/rotation')).Phase === 'idle',
      { what: `the end of the rotation (${told})`, timeout: 60_000 },
    );
    for (const agent of bed.agents) {
      const roots = await waitFor(
        async () => {
          const { Roots } = await callAgent<CaRoots>(agent, 'GET', '/v1/connect/ca/roots');
          return Roots.length === 1 && Roots;
        },
        { what: `one root in ${agent.name} (${told})` },
      );
      expect(roots[0]?.ID).toBe(NewRootID);
      const pem = roots[0]?.RootCert ?? '';
      for (const service of services) expect(rootOf(await chainOfLeaf(agent, service), [pem])).toBe(pem);
    }
    const counts = await load.stop();
    expect(counts.errors, told).toEqual([]);
    expect(counts).toMatchObject({ failed: 0, longLivedFailed: 0 });
    const { acknowledged, inDoubt } = writers.counts;
    console.log(
      `${told}: ${acknowledged} writes acknowledged, ${inDoubt} in doubt; the primary was killed ` +
        `${KILLS_WHILE_WRITING} ` +
        `times while writing and in the phases ${killedIn.join(', ')}; ${counts.opened} new connections, 0 failed`,
    );
  }, 180_000);
});

async function writeUntil(
  signal: AbortSignal,
  { agents }: Bed,
  writers: IntentionWriters,
  random: Random,
): Promise<void> {
  const one = async (): Promise<void> => {
    while (!signal.aborted) {
      if (!(await writers.write(random.pick(agents)))) await pause(50);
    }
  };
  await Promise.all([one(), one(), one()]);
}

/** Faults come at moments that nothing else knows of. */
function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
