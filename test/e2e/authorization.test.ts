import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CaRoots } from '../../src/model/ca.ts';
import type { Explanation, Intention } from '../../src/model/intention.ts';
import {
  type AgentProcess,
  ask,
  assertNoneLeft,
  type Bed,
  callAgent,
  LongLived,
  type MeshService,
  seeded,
  startBed,
  startEcho,
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

  it('a deny closes open connections in the other datacenter and refuses new ones, an allow lets them in', async () => {
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
    // One run in twenty has only one outcome after these rounds: then it goes on until both were seen.
    const oneSided = (): boolean => Math.min(outcomes.allowed, outcomes.denied) === 0;
    for (let round = 0; round < ROUNDS || (oneSided() && round < 10 * ROUNDS); round += 1) {
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
    expect(oneSided()).toBe(false);
  }, 60_000);

  it('a deny holds for every spelling of source and destination', async () => {
    const { dc1, dc2 } = bed;
    await deleteAll(dc1);
    const application = await startEcho('Bank');
    await bed.mesh(dc2, 'Bank', { port: application.port });
    const shop = await bed.mesh(dc1, 'Shop', { upstream: { name: 'BANK', datacenter: 'dc2' } });
    await waitFor(() => ask(shop.upstreamPort, 'hello'), { what: 'the way from Shop to Bank' });
    const open = await LongLived.open(shop.upstreamPort);
    const exact = (source: string, destination: string) =>
      `/v1/connect/intentions/exact?source=${source}&destination=${destination}`;
    await callAgent(dc1, 'PUT', exact('shop', 'bank'), { SourceType: 'consul', Action: 'deny' });
    await open.whenClosed;
    for (let at = 0; at < 5; at += 1) expect(await isLetThrough(shop.upstreamPort)).toBe(false);
    const { Roots, TrustDomain } = await callAgent<CaRoots>(dc2, 'GET', '/v1/agent/connect/ca/roots');
    expect(Roots.length).toBeGreaterThan(0);
    for (const source of ['shop', 'Shop', 'SHOP'])
      for (const Target of ['bank', 'Bank', 'BANK']) {
        const ClientCertURI = `spiffe://${TrustDomain}/ns/default/dc/dc1/svc/${source}`;
        const body = { Target, ClientCertURI, ClientCertSerial: '01' };
        expect(await callAgent(dc2, 'POST', '/v1/agent/connect/authorize', body)).toMatchObject({ Authorized: false });
        const question = `/v1/connect/intentions/check?source=${source}&destination=${Target}`;
        expect(await callAgent(dc1, 'GET', question)).toEqual({ Allowed: false });
      }
    await callAgent(dc2, 'PUT', exact('SHOP', 'BanK'), { SourceType: 'consul', Action: 'allow' });
    await waitFor(() => ask(shop.upstreamPort, 'again'), { what: 'a connection after the allow', interval: 1 });
    await application.close();
  }, 60_000);
});

/** What the random rules left. */
async function deleteAll(agent: AgentProcess): Promise<void> {
  const all = await callAgent<readonly Intention[]>(agent, 'GET', '/v1/connect/intentions');
  for (const { SourceName, DestinationName, SourceDatacenter } of all) {
    const where = new URLSearchParams({ source: SourceName, destination: DestinationName });
    if (SourceDatacenter !== undefined) where.set('source-dc', SourceDatacenter);
    await callAgent(agent, 'DELETE', `/v1/connect/intentions/exact?${where}`);
  }
}

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
