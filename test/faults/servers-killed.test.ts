import { afterEach, describe, expect, it } from 'vitest';
import { type AgentProcess, assertNoneLeft, type Bed, seeded, startBed, waitFor } from '../harness/index.ts';
import { IntentionWriters, intentionsText } from './intention-writers.ts';

const WRITES = 1_000;
const WRITERS = 6;
const KILLS = 6;

let bed: Bed | undefined;
afterEach(async () => {
  await bed?.stop();
  bed = undefined;
  await assertNoneLeft();
});

describe('both servers killed at random moments', () => {
  it('leave the same intentions in both datacenters, and all that was acknowledged', async () => {
    bed = await startBed();
    const { dc1, dc2, agents } = bed;
    const random = seeded();
    const writers = new IntentionWriters(random);
    const killAt = Array.from({ length: KILLS }, (_, at) =>
      Math.round(((at + 0.2 + random.next() * 0.8) * WRITES) / (KILLS + 1)),
    );
    let begun = 0;
    let kills = 0;
    let restarting: Promise<void> | undefined;
    const kill = async (agent: AgentProcess): Promise<void> => {
      await agent.kill9();
      await agent.restart();
    };
    const writer = async (): Promise<void> => {
      while (begun < WRITES) {
        begun += 1;
        if (begun >= (killAt[0] ?? Number.POSITIVE_INFINITY) && restarting === undefined) {
          killAt.shift();
          kills += 1;
          restarting = kill(random.pick(agents)).finally(() => {
            restarting = undefined;
          });
        }
        if (!(await writers.write(random.pick(agents)))) {
          begun -= 1; // it was not written: another is
          await restarting;
        }
      }
    };
    await Promise.all(Array.from({ length: WRITERS }, writer));
    await restarting;
    const told = `seed ${random.seed}`;
    await waitFor(async () => (await intentionsText(dc1)) === (await intentionsText(dc2)), {
      what: `the same intentions in both datacenters (${told})`,
      timeout: 30_000,
    });
    for (const agent of agents) expect(await writers.wrongIn(agent), told).toEqual([]);
    expect(kills).toBeGreaterThanOrEqual(KILLS / 2);
    const { acknowledged, inDoubt } = writers.counts;
    expect(acknowledged + inDoubt).toBeGreaterThanOrEqual(WRITES);
    expect(acknowledged).toBeGreaterThan(WRITES * 0.9);
    console.log(
      `${told}: ${acknowledged} intention writes acknowledged, ${inDoubt} in doubt, ${kills} kills, same state in both`,
    );
  }, 180_000);
});
