import { describe, expect, it } from 'vitest';
import {
  type CaDatacenter,
  FakeCaLink,
  holderReport,
  startCa,
  verifyAgainst,
} from '../../../test/fakes/ca-datacenter.ts';
import { FakeClock } from '../../../test/fakes/fake-clock.ts';
import type { IssuedCert, RotationPhase, RotationStatus } from '../../model/ca.ts';
import { fingerprintOf, parseChain } from '../../pki/certificate.ts';
import type { CaOptions } from './ca.ts';

const SECOND = 1_000;
const MINUTE = 60_000;
const HOUR = 3_600_000;

/**
 * An agent with one sidecar, as far as the CA sees it: holds the roots it received, renews when the root changes.
 */
class Holder {
  readonly name: string;
  dc: CaDatacenter;
  leaf: IssuedCert | undefined;
  roots: CaDatacenter['roots'] extends () => infer R ? R : never;
  /** While frozen, it neither reads nor reports. */
  frozen = false;

  constructor(name: string, dc: CaDatacenter) {
    this.name = name;
    this.dc = dc;
    this.roots = dc.roots();
  }

  async step(): Promise<void> {
    if (this.frozen) return;
    const leaves = (): Record<string, number> => (this.leaf === undefined ? {} : { [this.leaf.RootID]: 1 });
    this.roots = this.dc.roots();
    if (this.leaf?.RootID !== this.roots.ActiveRootID) this.leaf = await this.dc.leaf(this.name);
    const RootIDs = this.roots.Roots.map((root) => root.ID);
    await this.dc.ca.reportHolder(holderReport(this.name, { RootIDs, LeavesByRoot: leaves() }));
  }
}

interface World {
  readonly clock: FakeClock;
  dc1: CaDatacenter;
  dc2: CaDatacenter;
  readonly link: FakeCaLink;
  readonly holders: readonly [Holder, Holder, Holder];
  status(): RotationStatus;
  restart(which: 'dc1' | 'dc2'): Promise<void>;
  /** Lets time pass in small steps, and checks that everyone trusts everyone all the while. */
  run(ms: number, until?: () => boolean): Promise<boolean>;
  stop(): Promise<void>;
}

async function createWorld(options: CaOptions = {}, config: Readonly<Record<string, unknown>> = {}): Promise<World> {
  const clock = new FakeClock();
  const deps = { knownDatacenters: () => ['dc1', 'dc2'], initialConfig: { config } };
  const dc1 = await startCa('dc1', clock, deps, options);
  const link = new FakeCaLink(dc1);
  const dc2 = await startCa('dc2', clock, { primary: link }, options);
  await clock.advance(1 * SECOND);
  const holders = [new Holder('a', dc1), new Holder('b', dc2), new Holder('c', dc2)] as const;
  const world: World = {
    clock,
    dc1,
    dc2,
    link,
    holders,
    status: () => world.dc1.ca.reads['ca.rotation'].produce({}),
    async restart(which) {
      await world[which].stop();
      const { engine } = world[which];
      world[which] = await startCa(which, clock, { engine, ...(which === 'dc1' ? deps : { primary: link }) }, options);
      if (which === 'dc1') {
        link.cut();
        link.heal(world.dc1);
      }
      for (const holder of holders) if (holder.dc.name === which) holder.dc = world[which];
    },
    async run(ms, until) {
      const end = clock.now() + ms;
      while (clock.now() < end) {
        if (until?.() === true) return true;
        for (const holder of holders) await holder.step();
        everyoneTrusts(world);
        await clock.advance(end - clock.now() > 20 * SECOND ? 1 * SECOND : 250);
        everyoneTrusts(world);
      }
      return until?.() === true;
    },
    async stop() {
      await world.dc2.stop();
      await world.dc1.stop();
    },
  };
  await world.run(1 * SECOND);
  return world;
}

const trusted = new Set<string>();

/** Every holder verifies every other's present leaf with the roots that it holds now; each pair once. */
function everyoneTrusts({ holders, clock }: World): void {
  for (const verifier of holders)
    for (const { leaf } of holders) {
      if (leaf === undefined) continue;
      expect(Date.parse(leaf.ValidBefore)).toBeGreaterThan(clock.now());
      const pair = `${leaf.SerialNumber} ${verifier.roots.Roots.map((root) => root.ID)}`;
      if (trusted.has(pair)) continue;
      trusted.add(pair);
      expect(parseChain(leaf.CertPEM).length).toBeLessThanOrEqual(4);
      verifyAgainst(leaf, verifier.roots, clock.now());
    }
}

function settled(world: World, newRoot: string): () => boolean {
  return () =>
    world.status().Phase === 'idle' &&
    [world.dc1, world.dc2].every((dc) => dc.roots().Roots.length === 1 && dc.roots().ActiveRootID === newRoot);
}

const PHASES: readonly RotationPhase[] = ['distributing', 'moving', 'draining'];

describe('a root rotation', () => {
  it('moves every certificate in both datacenters with no moment of distrust', async () => {
    const world = await createWorld();
    const { NewRootID } = await world.dc1.ca.rotate({});
    expect(await world.run(MINUTE, settled(world, NewRootID))).toBe(true);
    expect(world.holders.map((holder) => holder.leaf?.RootID)).toEqual([NewRootID, NewRootID, NewRootID]);
    await world.stop();
  });

  it.each(PHASES)('goes on where it was when the primary restarts while %s', async (phase) => {
    const world = await createWorld();
    const [a] = world.holders;
    if (phase === 'distributing') a.frozen = true;
    const { NewRootID } = await world.dc1.ca.rotate({});
    expect(await world.run(MINUTE, () => world.status().Phase === phase)).toBe(true);
    await world.restart('dc1');
    expect(world.status()).toMatchObject({ Phase: phase, NewRootID });
    await world.restart('dc2');
    a.frozen = false;
    expect(await world.run(MINUTE, settled(world, NewRootID))).toBe(true);
    await world.stop();
  });

  it.each(PHASES)('survives a cut between the datacenters while %s', async (phase) => {
    const world = await createWorld();
    const { link, holders } = world;
    if (phase === 'distributing') link.cut();
    const { NewRootID } = await world.dc1.ca.rotate({});
    if (phase === 'moving') for (const holder of holders) await holder.step();
    expect(await world.run(MINUTE, () => world.status().Phase === phase)).toBe(true);
    link.cut();
    await world.run(2 * MINUTE);
    expect(holders[1].leaf).toBeDefined();
    link.heal();
    expect(await world.run(MINUTE, settled(world, NewRootID))).toBe(true);
    expect(holders.map((holder) => holder.leaf?.RootID)).toEqual([NewRootID, NewRootID, NewRootID]);
    await world.stop();
  });

  it('passes the bound without a holder that can’t be reached, names it, and keeps the old root for it', async () => {
    const world = await createWorld({ holderTtlMs: 5 * MINUTE });
    const [, b] = world.holders;
    const old = world.dc1.roots().ActiveRootID;
    b.frozen = true;
    const { NewRootID } = await world.dc1.ca.rotate({});
    await world.run(10 * SECOND);
    expect(world.status()).toMatchObject({
      Phase: 'distributing',
      Holds: ['dc2 has verifiers without the new root: b'],
    });
    // From the bound on b still verifies everyone, by the cross-signed chains: `run` checks it.
    await world.run(30 * SECOND);
    expect(world.status()).toMatchObject({ Phase: 'moving', LeavesTotal: 3, LeavesMoved: 2 });
    expect(world.status().Holds).toEqual(['dc2 has 1 certificate under the old root; not confirmed: b']);
    await world.run(6 * MINUTE);
    expect(world.status().Phase).toBe('draining');
    expect(world.status().Holds).toEqual([
      expect.stringMatching(/^dc2 has 1 certificate under the old root; not confirmed: b \(not heard of since /),
    ]);
    expect(world.dc1.roots().Roots.map((root) => root.ID)).toContain(old);
    b.frozen = false;
    expect(await world.run(MINUTE, settled(world, NewRootID))).toBe(true);
    await world.stop();
  });

  it('removes the old root when the last leaf under it has expired, though its holder never came back', async () => {
    const world = await createWorld({}, { LeafCertTTL: '2h' });
    const [, b] = world.holders;
    b.frozen = true;
    const { NewRootID } = await world.dc1.ca.rotate({});
    await world.run(7 * MINUTE);
    b.leaf = undefined;
    b.roots = world.dc1.roots();
    await world.clock.advance(1.5 * HOUR);
    expect(world.dc1.roots().Roots).toHaveLength(2);
    await world.clock.advance(1 * HOUR);
    expect(settled(world, NewRootID)()).toBe(true);
    await world.stop();
  });

  it('refuses another one while it distributes or moves, unless forced; takes one while it drains', async () => {
    const world = await createWorld();
    const [a] = world.holders;
    a.frozen = true;
    const first = await world.dc1.ca.rotate({});
    await expect(world.dc1.ca.rotate({})).rejects.toMatchObject({
      code: 'rejected',
      message: `a rotation to the root ${first.NewRootID} is under way (distributing): wait until it has moved`,
    });
    const second = await world.dc1.ca.rotate({ force: true });
    expect(world.dc1.roots().Roots.map((root) => root.ID)).not.toContain(first.NewRootID);
    a.frozen = false;
    expect(await world.run(MINUTE, () => world.status().Phase === 'draining')).toBe(true);
    const third = await world.dc1.ca.rotate({});
    expect(world.dc1.roots().Roots.map((root) => root.ID)).toEqual(
      expect.arrayContaining([second.NewRootID, third.NewRootID]),
    );
    expect(await world.run(MINUTE, settled(world, third.NewRootID))).toBe(true);
    await world.stop();
  });

  it('happens ten times in a row, over EC and RSA', async () => {
    const world = await createWorld();
    const kinds = [
      { PrivateKeyType: 'rsa', PrivateKeyBits: 2048 },
      { PrivateKeyType: 'ec', PrivateKeyBits: 384 },
      { PrivateKeyType: 'ec', PrivateKeyBits: 521 },
      { PrivateKeyType: 'ec', PrivateKeyBits: 256 },
      { PrivateKeyType: 'ec', PrivateKeyBits: 384 },
    ];
    const seen = new Set([world.dc1.roots().ActiveRootID]);
    for (let round = 0; round < 10; round += 1) {
      const Config = kinds[round % kinds.length];
      if (round === 3) await world.dc1.ca.rotate({});
      else await world.dc1.ca.setConfig({ config: { Provider: 'consul', Config } });
      const { NewRootID } = world.status();
      expect(seen.has(NewRootID)).toBe(false);
      seen.add(NewRootID);
      // an RSA key is made on another thread, in real time: the fake clock alone does not bring it about
      let done = false;
      for (const begun = performance.now(); !done && performance.now() - begun < 20_000; ) {
        done = await world.run(2 * SECOND, settled(world, NewRootID));
        await new Promise((resolve) => setImmediate(resolve));
      }
      expect(done).toBe(true);
    }
    const keys = (await world.dc1.engine.range({ prefix: 'ca-keys/' })).rows;
    expect(keys).toHaveLength(1);
    await world.stop();
  });

  it('does not forget what a datacenter reported when the primary restarts', async () => {
    const world = await createWorld();
    const [, b, c] = world.holders;
    b.frozen = true;
    c.frozen = true;
    const { OldRootID } = await world.dc1.ca.rotate({}).then(() => world.status());
    await world.run(40 * SECOND);
    world.link.cut();
    await world.restart('dc1');
    world.link.cut();
    await world.run(10 * MINUTE);
    expect(world.status().Phase).toBe('draining');
    expect(world.status().Holds).toEqual([expect.stringContaining('dc2 has 2 certificates under the old root')]);
    expect(world.dc1.roots().Roots.map((root) => root.ID)).toContain(OldRootID);
    await world.stop();
  });
});

describe('over the months', () => {
  it('roots and intermediates are renewed by plan, nothing expires, and nothing piles up', async () => {
    const clock = new FakeClock();
    const dc1 = await startCa('dc1', clock, {
      knownDatacenters: () => ['dc2'],
      initialConfig: { config: { LeafCertTTL: '24h', IntermediateCertTTL: '480h', RotationPeriod: '2160h' } },
    });
    const link = new FakeCaLink(dc1);
    const dc2 = await startCa('dc2', clock, { primary: link });
    await clock.advance(1 * SECOND);
    const intermediates = new Set<string>();
    const roots = new Set<string>();
    const start = clock.now();
    for (let day = 0; day < 400; day += 1) {
      await clock.advance(24 * HOUR);
      const leaf = await dc2.leaf();
      const chain = parseChain(leaf.CertPEM);
      verifyAgainst(leaf, dc1.roots(), clock.now());
      for (const dc of [dc1, dc2]) {
        const { Roots } = dc.roots();
        expect(Roots.length).toBeLessThanOrEqual(2);
        for (const root of Roots) {
          expect(Date.parse(root.NotAfter)).toBeGreaterThan(clock.now());
          expect(root.IntermediateCerts?.length ?? 0).toBeLessThanOrEqual(2);
        }
        roots.add(dc.roots().ActiveRootID);
      }
      expect(chain[0]?.notAfter).toBeLessThanOrEqual(chain[1]?.notAfter ?? 0);
      expect(chain.every((one) => one.notAfter > clock.now())).toBe(true);
      intermediates.add(fingerprintOf(chain[1] as NonNullable<(typeof chain)[1]>));
    }
    const days = (clock.now() - start) / (24 * HOUR);
    expect(roots.size).toBe(1 + Math.floor(days / 90));
    // One with each root, then one each ten days (less half of the minute by which certificates are backdated).
    expect(link.calls.signIntermediate).toBe(4 * 10 + 1 + Math.floor((days - 360) / 10));
    expect(intermediates.size).toBeGreaterThan(40);
    expect((await dc2.engine.range({ prefix: 'ca-keys/' })).rows).toHaveLength(1);
    await dc2.stop();
    await dc1.stop();
  });

  it.each([
    ['has signed', true],
    ['is about to sign', false],
  ])(
    'a root that %s is replaced when it was made while the clock was ten days ahead, and it is back',
    async (_what, reported) => {
      const clock = new FakeClock();
      const dc1 = await startCa('dc1', clock, { knownDatacenters: () => ['dc1', 'dc2'] });
      const dc2 = await startCa('dc2', clock, { primary: new FakeCaLink(dc1) });
      await clock.advance(1 * SECOND);
      await clock.set(240 * HOUR);
      await clock.advance(1 * SECOND);
      const A = dc1.roots().ActiveRootID;
      const report = (...RootIDs: string[]) =>
        dc1.ca.reportHolder(holderReport('n1', { RootIDs, LeavesByRoot: { [RootIDs.at(-1) as string]: 1 } }));
      await report(A);
      const { NewRootID: B } = await dc1.ca.rotate({});
      await clock.advance(1 * SECOND);
      if (reported) await report(A, B);
      await clock.advance(1 * SECOND);
      for (const { roots } of [dc1, dc2]) expect(roots().ActiveRootID).toBe(reported ? B : A);

      await clock.set(-240 * HOUR);
      await clock.advance(MINUTE); // the bound of a rotation that waits for a holder
      const C = dc1.roots().ActiveRootID;
      expect([A, B]).not.toContain(C);
      for (const dc of [dc1, dc2]) {
        expect(dc.roots().ActiveRootID).toBe(C);
        const leaf = await dc.leaf();
        verifyAgainst(leaf, dc.roots(), clock.now());
        expect(Date.parse(leaf.ValidAfter)).toBeLessThanOrEqual(clock.now());
      }
      expect(dc1.ca.reads['ca.rotation'].produce({}).Phase).not.toBe('distributing');
      await dc2.stop();
      await dc1.stop();
    },
  );

  it('an intermediate that can’t be renewed is retried with backoff, logged, and no leaf outlives it', async () => {
    const clock = new FakeClock();
    const config = { LeafCertTTL: '1h', IntermediateCertTTL: '3h', RotationPeriod: '0' };
    const dc1 = await startCa('dc1', clock, { initialConfig: { config } });
    const link = new FakeCaLink(dc1);
    const dc2 = await startCa('dc2', clock, { primary: link });
    await clock.advance(1 * SECOND);
    const before = dc2.roots().Roots[0]?.IntermediateCerts;
    link.cut();
    await clock.advance(2 * HOUR);
    expect(dc2.ca.status()).toMatchObject({
      State: 'degraded',
      LastRenewalError: 'No path to datacenter',
      IntermediateExpiresIn: 3_599,
      IntermediateRenewsIn: 0,
    });
    await clock.advance(0.5 * HOUR);
    const [leaf, intermediate] = parseChain((await dc2.leaf()).CertPEM);
    expect(leaf?.notAfter).toBe(intermediate?.notAfter);
    link.heal();
    await clock.advance(5 * SECOND);
    expect(dc2.ca.status()).toMatchObject({ State: 'ready', LastRenewalError: '' });
    expect(dc2.roots().Roots[0]?.IntermediateCerts).not.toEqual(before);
    link.cut();
    await clock.advance(3.1 * HOUR);
    expect(dc2.ca.status()).toMatchObject({
      State: 'degraded',
      Reason: 'the certificate that signs leaves has expired',
    });
    await expect(dc2.leaf()).rejects.toMatchObject({ code: 'unavailable' });
    await dc2.stop();
    await dc1.stop();
  });
});
