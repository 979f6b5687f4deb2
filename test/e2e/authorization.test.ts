import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Explanation } from '../../src/model/intention.ts';
import {
  ask,
  assertNoneLeft,
  type Bed,
  callAgent,
  LongLived,
  type MeshService,
  seeded,
  startBed,
  waitFor,
} from '../harness/index.ts';

const PAIR = '/v1/connect/intentions/exact?source=web&destination=db';
const QUESTION = 'source=web&source-dc=dc1&destination=db&destination-dc=dc2';
const ROUNDS = 40;

describe('intentions and the sidecars of two datacenters', () => {
  let bed: Bed;
  let web: MeshService;

  beforeAll(async () => {
    bed = await startBed();
    ({ web } = await bed.webToDb());
  });
  afterAll(async () => {
    await bed?.stop();
    await assertNoneLeft();
  });

  it('a deny closes what is open in the other datacenter and refuses new connections, an allow lets them in', async () => {
    const { dc1, dc2 } = bed;
    const open = await Promise.all(Array.from({ length: 20 }, () => LongLived.open(web.upstreamPort)));
    const deniedAt = performance.now();
    await callAgent(dc1, 'PUT', PAIR, { SourceType: 'consul', Action: 'deny' });
    const refusedAfter = refusal(web.upstreamPort, deniedAt);
    await Promise.all(open.map((connection) => connection.whenClosed));
    const closedAfter = performance.now() - deniedAt;
    const refusedMs = await refusedAfter;
    for (let at = 0; at < 10; at += 1) await expect(ask(web.upstreamPort, 'still?')).rejects.toThrow();
    const why = await callAgent<Explanation>(dc2, 'GET', `/v1/internal/explain?${QUESTION}`);
    expect(why).toMatchObject({ Allowed: false, Rule: { source: 'web', destination: 'db', action: 'deny' } });
    expect(why.ToAllow).toContain('intention');

    const allowedAt = performance.now();
    await callAgent(dc2, 'PUT', PAIR, { SourceType: 'consul', Action: 'allow' });
    await waitFor(() => ask(web.upstreamPort, 'now?'), { what: 'a connection after the allow', interval: 1 });
    console.log(
      `a deny of dc1 refused in dc2 after ${Math.round(refusedMs)} ms and closed 20 open connections after ` +
        `${Math.round(closedAfter)} ms; an allow of dc2 opened after ${Math.round(performance.now() - allowedAt)} ms`,
    );
  }, 60_000);

  it('say the same as the explanation for random rules', async () => {
    const { dc1, dc2, agents } = bed;
    const random = seeded();
    const outcomes = { allowed: 0, denied: 0 };
    for (let round = 0; round < ROUNDS; round += 1) {
      const where = new URLSearchParams({
        source: random.pick(['web', 'web', '*', 'other']),
        destination: random.pick(['db', 'db', '*']),
      });
      const sourceDatacenter = random.pick(['', '', 'dc1', 'dc2']);
      if (sourceDatacenter !== '') where.set('source-dc', sourceDatacenter);
      const path = `/v1/connect/intentions/exact?${where}`;
      const agent = random.pick(agents);
      if (random.next() < 0.3)
        await agent.http('DELETE', path); // there may be none
      else
        await callAgent(agent, 'PUT', path, { SourceType: 'consul', Action: random.pick(['allow', 'deny'] as const) });
      // The primary decides; once dc2 shows the same rule, its sidecar is at most a moment behind.
      const told = `round ${round} of seed ${random.seed}: ${path}`;
      const truth = await callAgent<Explanation>(dc1, 'GET', `/v1/internal/explain?${QUESTION}`);
      await waitFor(
        async () =>
          (await callAgent<Explanation>(dc2, 'GET', `/v1/internal/explain?${QUESTION}`)).Allowed === truth.Allowed &&
          (await isLetThrough(web.upstreamPort)) === truth.Allowed,
        { what: `the sidecar doing as explained (${told})`, timeout: 5_000 },
      );
      expect(await isLetThrough(web.upstreamPort), told).toBe(truth.Allowed);
      const check = await callAgent<{ Allowed: boolean }>(dc2, 'GET', `/v1/connect/intentions/check?${QUESTION}`);
      expect(check.Allowed, told).toBe(truth.Allowed);
      outcomes[truth.Allowed ? 'allowed' : 'denied'] += 1;
    }
    expect(Math.min(outcomes.allowed, outcomes.denied)).toBeGreaterThan(0);
  }, 60_000);
});

async function isLetThrough(port: number): Promise<boolean> {
  return ask(port, 'may I?').then(
    () => true,
    () => false,
  );
}

/** Milliseconds from `since` until a new connection is refused. */
async function refusal(port: number, since: number): Promise<number> {
  while (await isLetThrough(port));
  return performance.now() - since;
}
