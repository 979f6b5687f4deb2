import { afterEach, describe, expect, it } from 'vitest';
import { makeRoots, TRUST_DOMAIN } from '../../../test/fakes/ca-roots.ts';
import { FakeClock, settle } from '../../../test/fakes/fake-clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { AsyncQueue } from '../../lib/queue.ts';
import type { CaRoots, HolderReport, LeafCert } from '../../model/ca.ts';
import { parseCsr } from '../../pki/csr.ts';
import type { ServerContract, WatchUpdate } from '../../rpc/contract/contract.ts';
import { noLog, noMetrics } from '../../telemetry/types.ts';
import { HolderReporter, type Verifier } from './holder-reporter.ts';
import { LeafManager, type LeafManagerOptions } from './leaf-manager.ts';
import { RootsCache } from './roots-cache.ts';

const HOUR = 3_600_000;
const LIFE_MS = 72 * HOUR;
/** A server that signs with whichever root is active, and can be cut off. */
class FakeServer {
  readonly clock: FakeClock;
  readonly signed: string[] = [];
  readonly reports: HolderReport[] = [];
  roots = makeRoots('r1');
  signingRoot: string | undefined;
  /** Signs only what this lets through, like the authority's limit. */
  limit: (id: string, expires: number) => void = () => undefined;
  down = false;
  /** How far its clock is ahead of the agent's, milliseconds. */
  aheadMs = 0;
  /** How long a signature takes, milliseconds. */
  signMs = 0;
  inFlight = 0;
  mostInFlight = 0;
  #index = 1;
  #queues = new Set<AsyncQueue<WatchUpdate<CaRoots>>>();

  constructor(clock: FakeClock) {
    this.clock = clock;
  }

  setRoots(roots: CaRoots): void {
    this.roots = roots;
    this.#index += 1;
    for (const queue of this.#queues) queue.push({ index: this.#index, value: roots });
  }

  cut(): void {
    this.down = true;
    for (const queue of this.#queues) queue.fail(new IsthmusError('unavailable', 'cut'));
    this.#queues.clear();
  }

  heal(): void {
    this.down = false;
  }

  readonly contract = {
    watch: ((_name: string, _args: unknown, options: { signal: AbortSignal }) => {
      if (this.down) throw new IsthmusError('unavailable', 'cut');
      const queue = new AsyncQueue<WatchUpdate<CaRoots>>();
      queue.push({ index: this.#index, value: this.roots });
      queue.endOn(options.signal);
      this.#queues.add(queue);
      return queue;
    }) as unknown as ServerContract['watch'],
    write: (async (name: string, args: unknown) => {
      if (this.down) throw new IsthmusError('unavailable', 'cut');
      if (name === 'ca.reportHolder') {
        this.reports.push(args as HolderReport);
        return { value: null, revision: 1 };
      }
      this.inFlight += 1;
      this.mostInFlight = Math.max(this.mostInFlight, this.inFlight);
      if (this.signMs > 0) await new Promise<void>((resolve) => this.clock.after(this.signMs, resolve));
      this.inFlight -= 1;
      const { csr, expires = 0 } = args as { csr: string; expires?: number };
      const { uri, spki } = parseCsr(csr);
      this.limit(spki.toString('base64'), expires);
      const service = uri.slice(uri.lastIndexOf('/') + 1);
      this.signed.push(service);
      this.#index += 1;
      const now = this.clock.now() + this.aheadMs;
      return {
        revision: this.#index,
        value: {
          SerialNumber: '09',
          CertPEM: `leaf ${this.signed.length}\n`,
          Service: service,
          ServiceURI: uri,
          ValidAfter: new Date(now - 60_000).toISOString(),
          ValidBefore: new Date(now - 60_000 + LIFE_MS).toISOString(),
          RootID: this.signingRoot ?? this.roots.ActiveRootID,
          CreateIndex: this.#index,
          ModifyIndex: this.#index,
        },
      };
    }) as unknown as ServerContract['write'],
  };
}

const running: { stop(): Promise<void> }[] = [];

afterEach(async () => {
  for (const service of running.splice(0).reverse()) await service.stop();
});

async function start(options: LeafManagerOptions = {}, random: () => number = () => 0.5) {
  const clock = new FakeClock();
  const server = new FakeServer(clock);
  const roots = new RootsCache({ contract: server.contract, clock, log: noLog });
  const leaves = new LeafManager(
    {
      contract: server.contract,
      roots,
      datacenter: 'dc1',
      clock,
      random,
      log: noLog,
      metrics: noMetrics,
    },
    options,
  );
  await roots.start();
  await leaves.start();
  running.push(roots, leaves);
  const controller = new AbortController();
  const { signal } = controller;
  return { clock, server, roots, leaves, signal, controller };
}

async function follow(leaves: LeafManager, service: string, signal: AbortSignal) {
  const seen: LeafCert[] = [];
  const done = (async () => {
    try {
      for await (const leaf of leaves.watch(service, signal)) seen.push(leaf);
    } catch {
      // aborted by the test
    }
  })();
  running.push({ stop: () => done });
  return seen;
}

describe('roots cache', () => {
  it('answers at once when it holds the roots, waits for the next ones, and keeps them when cut off', async () => {
    const { clock, server, roots, signal } = await start();
    const first = await roots.get({ signal });
    expect(first.value.ActiveRootID).toBe('r1');
    expect(await roots.get({ signal })).toMatchObject({ cacheHit: true, ageMs: 0, index: first.index });
    const next = roots.get({ signal, index: first.index });
    server.setRoots(makeRoots('r2', 'r1'));
    expect(await next).toMatchObject({ value: { ActiveRootID: 'r2' } });
    server.cut();
    await clock.advance(5_000);
    expect((await roots.get({ signal })).ageMs).toBe(5_000);
    server.heal();
    await clock.advance(20_000);
    expect(await roots.get({ signal })).toMatchObject({ cacheHit: true, ageMs: 0 });
  });

  it('returns the same answer when the wait is over', async () => {
    const { clock, roots, signal } = await start();
    const first = await roots.get({ signal });
    const next = roots.get({ signal, index: first.index, waitMs: 1_000 });
    await clock.advance(1_000);
    expect(await next).toMatchObject({ index: first.index });
  });
});

describe('leaf manager', () => {
  it('issues a leaf once, for everyone who asks', async () => {
    const { clock, server, leaves, signal } = await start();
    const [a, b] = await Promise.all([leaves.get('web', { signal }), leaves.get('web', { signal })]);
    expect(server.signed).toEqual(['web']);
    expect(a.value).toEqual(b.value);
    expect(a).toMatchObject({ cacheHit: false });
    expect(a.value).toMatchObject({
      Service: 'web',
      ServiceURI: `spiffe://${TRUST_DOMAIN}/ns/default/dc/dc1/svc/web`,
      PrivateKeyPEM: expect.stringContaining('BEGIN EC PRIVATE KEY'),
    });
    expect(Object.keys(a.value)).not.toContain('RootID');
    await clock.advance(7_000);
    expect(await leaves.get('web', { signal })).toMatchObject({ cacheHit: true, ageMs: 7_000, index: a.index });
    expect(leaves.counts).toEqual({ new: 1, renewal: 0, root_changed: 0 });
  });

  it('refuses an empty name, and more leaves than it may hold', async () => {
    const { leaves, signal } = await start({ maxLeaves: 1 });
    await expect(leaves.get('', { signal })).rejects.toMatchObject({
      code: 'rejected',
      message: 'URI must be either service or agent',
    });
    await leaves.get('a', { signal });
    await expect(leaves.get('b', { signal })).rejects.toThrow('its limit');
  });

  it('renews with the same key between one half and two thirds of the life, for months', async () => {
    const { clock, server, leaves, signal, controller } = await start({}, () => 0.25);
    const seen = await follow(leaves, 'web', signal);
    const start_ = clock.now();
    await settle();
    for (let day = 0; day < 30; day += 1) {
      await clock.advance(24 * HOUR);
      const newest = seen.at(-1) as LeafCert;
      expect(Date.parse(newest.ValidBefore)).toBeGreaterThan(clock.now() + LIFE_MS / 3 - 60_000);
    }
    const every = LIFE_MS * (0.5 + 0.25 / 6) - 60_000;
    expect(server.signed.length).toBe(1 + Math.floor((clock.now() - start_) / every));
    expect(new Set(seen.map((leaf) => leaf.PrivateKeyPEM)).size).toBe(1);
    expect(leaves.counts.renewal).toBe(server.signed.length - 1);
    controller.abort();
  });

  it('wakes a blocking reader with the renewed leaf', async () => {
    const { clock, leaves, signal } = await start();
    const first = await leaves.get('web', { signal });
    const next = leaves.get('web', { signal, index: first.index, waitMs: 600 * HOUR });
    await clock.advance(LIFE_MS * 0.7);
    expect((await next).index).toBeGreaterThan(first.index);
  });

  it('retries a renewal while the server is away, without handing out an expired leaf', async () => {
    const { clock, server, leaves, signal } = await start();
    await leaves.get('web', { signal });
    server.down = true;
    await clock.advance(LIFE_MS * 0.9);
    expect((await leaves.get('web', { signal })).cacheHit).toBe(true);
    server.heal();
    await clock.advance(2 * 60_000);
    expect(server.signed).toHaveLength(2);
    server.down = true;
    await clock.advance(LIFE_MS + HOUR);
    await expect(leaves.get('web', { signal })).rejects.toThrow('cut');
  });

  it('notices after a sleep of the machine that a renewal is overdue', async () => {
    const { clock, server, leaves, signal } = await start();
    await leaves.get('web', { signal });
    const now = clock.now();
    clock.now = () => now + LIFE_MS * 0.9; // timers stood still, the wall clock did not
    await clock.advance(60_000);
    expect(server.signed).toHaveLength(2);
  });

  it('replaces at once what was issued while the clock was ahead, and plans renewals anew when it is set', async () => {
    const { clock, server, leaves, signal } = await start();
    await clock.set(240 * HOUR);
    await leaves.get('web', { signal });
    await clock.set(-240 * HOUR);
    expect(server.signed).toHaveLength(2);
    const { value } = await leaves.get('web', { signal });
    expect(Date.parse(value.ValidAfter)).toBeLessThanOrEqual(clock.now());
    await clock.advance(LIFE_MS / 3);
    expect(server.signed).toHaveLength(2);
    await clock.set(LIFE_MS / 3); // two thirds of its life are over now
    await clock.advance(1);
    expect(server.signed).toHaveLength(3);
    await clock.set(-1_000); // and a little back is no reason for another
    await clock.advance(1);
    expect(server.signed).toHaveLength(3);
  });

  it('asks again for what a server has signed whose clock is ahead', async () => {
    const { clock, server, leaves, signal } = await start();
    server.aheadMs = 240 * HOUR;
    await leaves.get('web', { signal });
    await clock.advance(5 * 60_000);
    const tries = server.signed.length;
    expect(tries).toBeGreaterThan(2);
    server.aheadMs = 0;
    await clock.advance(61_000);
    expect(server.signed).toHaveLength(tries + 1);
    const { value } = await leaves.get('web', { signal });
    expect(Date.parse(value.ValidAfter)).toBeLessThanOrEqual(clock.now());
    await clock.advance(HOUR);
    expect(server.signed).toHaveLength(tries + 1);
  });

  it('drops a leaf that is no longer in use instead of renewing it', async () => {
    const { clock, server, leaves, signal } = await start({ idleMs: HOUR });
    await leaves.get('web', { signal });
    await clock.advance(LIFE_MS * 2);
    expect(server.signed).toHaveLength(1);
    expect(leaves.leavesByRoot()).toEqual({});
  });

  it('is in use for as long by a clock that was set, and no longer', async () => {
    const { clock, leaves, signal } = await start({ idleMs: 40 * HOUR });
    await leaves.get('web', { signal });
    await clock.set(30 * HOUR);
    await clock.advance(20 * HOUR);
    expect(leaves.leavesByRoot()).toEqual({ r1: 1 }); // by the time of day it was asked for 50 hours ago
    await clock.set(-50 * HOUR);
    await clock.advance(LIFE_MS);
    expect(leaves.leavesByRoot()).toEqual({});
  });

  it('moves all leaves when the root changes, least life left first, in slots', async () => {
    const { clock, server, leaves, signal } = await start({ concurrency: 2 });
    for (const service of ['a', 'b', 'c', 'd', 'e']) {
      await leaves.get(service, { signal });
      await clock.advance(60_000);
    }
    expect(leaves.leavesByRoot()).toEqual({ r1: 5 });
    server.signed.length = 0;
    server.mostInFlight = 0;
    server.signMs = 5;
    server.setRoots(makeRoots('r1', 'r2'));
    await clock.advance(1_000);
    expect(server.signed).toEqual([]);
    server.setRoots(makeRoots('r2', 'r1'));
    await clock.advance(1_000);
    expect(server.signed).toEqual(['a', 'b', 'c', 'd', 'e']);
    expect(server.mostInFlight).toBe(2);
    expect(leaves.leavesByRoot()).toEqual({ r2: 5 });
    expect(leaves.counts.root_changed).toBe(5);
  });

  it('comes back at its slot when the authority is busy: who waits gets a leaf, moves show the time left', async () => {
    const { clock, server, leaves, signal } = await start({ concurrency: 2 });
    const asked: string[] = [];
    const slots = new Map<string, number>();
    let next = clock.now();
    server.limit = (id, expires) => {
      const now = clock.now();
      asked.push(`${now - begun} ${expires === 0 ? 'new' : (expires - begun) / 60_000}`);
      const slot = slots.get(id) ?? next;
      if (slot > now) {
        if (!slots.has(id)) next += 1_000;
        slots.set(id, slot);
        throw new IsthmusError('rate_limited', 'busy', { details: { retryAfterMs: slot - now } });
      }
      slots.delete(id);
      next = Math.max(next, now + 1_000);
    };
    const begun = clock.now();
    await leaves.get('a', { signal });
    const waits = leaves.get('b', { signal });
    await clock.advance(1_000);
    expect((await waits).value.Service).toBe('b');
    expect(asked).toEqual(['0 new', '0 new', '1000 new']);
    next = clock.now() + 60_000;
    await expect(leaves.get('c', { signal })).rejects.toMatchObject({ details: { retryAfterMs: 60_000 } });
    await clock.advance(60_000);
    expect((await leaves.get('c', { signal })).cacheHit).toBe(true); // it came back by itself
    await clock.advance(60_000);
    asked.length = 0;
    const moved = clock.now() - begun;
    next = clock.now();
    server.setRoots(makeRoots('r2', 'r1'));
    await clock.advance(3_000);
    expect(leaves.leavesByRoot()).toEqual({ r2: 3 });
    const minutes = LIFE_MS / 60_000 - 1;
    expect(asked).toEqual([
      `${moved} ${minutes}`,
      `${moved} ${minutes + 1 / 60}`,
      `${moved} ${minutes + 61 / 60}`,
      `${moved + 1_000} ${minutes + 1 / 60}`,
      `${moved + 2_000} ${minutes + 61 / 60}`,
    ]);
  });

  it('asks again when the server still signs under the old root', async () => {
    const { clock, server, leaves, signal } = await start();
    await leaves.get('web', { signal });
    server.signingRoot = 'r1';
    server.setRoots(makeRoots('r2', 'r1'));
    await clock.advance(100);
    expect(leaves.leavesByRoot()).toEqual({ r1: 1 });
    server.signingRoot = undefined;
    await clock.advance(10_000);
    expect(leaves.leavesByRoot()).toEqual({ r2: 1 });
    const count = server.signed.length;
    await clock.advance(HOUR);
    expect(server.signed).toHaveLength(count);
  });

  it('goes on trying for those who follow a service whose first leaf failed', async () => {
    const { clock, server, leaves, signal, controller } = await start();
    await settle();
    server.cut();
    const seen = await follow(leaves, 'web', signal);
    await clock.advance(5_000);
    expect(seen).toEqual([]);
    server.heal();
    await clock.advance(60_000);
    expect(seen).toHaveLength(1);
    controller.abort();
  });
});

describe('holder reporter', () => {
  async function startReporter() {
    const all = await start();
    let verifiers: Verifier[] = [];
    const listeners = new Set<() => void>();
    const reporter = new HolderReporter({
      contract: all.server.contract,
      roots: all.roots,
      leaves: all.leaves,
      verifiers: {
        verifiers: () => verifiers,
        onChange(listener) {
          listeners.add(listener);
          return () => listeners.delete(listener);
        },
      },
      node: 'n1',
      clock: all.clock,
      log: noLog,
    });
    const setVerifiers = (list: Verifier[]): void => {
      verifiers = list;
      for (const listener of listeners) listener();
    };
    await reporter.start();
    running.push(reporter);
    return { ...all, setVerifiers };
  }

  it('reports at once during a rotation, names who has not confirmed, and rests otherwise', async () => {
    const { clock, server, leaves, signal, setVerifiers } = await startReporter();
    await clock.advance(100);
    expect(server.reports).toEqual([{ Holder: 'n1', Verifiers: 1, RootIDs: ['r1'], Pending: [], LeavesByRoot: {} }]);
    setVerifiers([
      { name: 'web-proxy', rootIds: ['r1'] },
      { name: 'db-proxy', rootIds: undefined },
    ]);
    await leaves.get('web', { signal });
    await clock.advance(1_000);
    expect(server.reports).toHaveLength(1);
    await clock.advance(30_000);
    expect(server.reports.at(-1)).toEqual({
      Holder: 'n1',
      Verifiers: 3,
      RootIDs: [],
      Pending: ['db-proxy'],
      LeavesByRoot: { r1: 1 },
    });
    server.setRoots(makeRoots('r1', 'r2'));
    await clock.advance(50);
    expect(server.reports.at(-1)).toMatchObject({ Pending: ['db-proxy', 'web-proxy'] });
    setVerifiers([{ name: 'web-proxy', rootIds: ['r1', 'r2'] }]);
    await clock.advance(50);
    expect(server.reports.at(-1)).toMatchObject({ RootIDs: ['r1', 'r2'], Pending: [] });
    server.setRoots(makeRoots('r2', 'r1'));
    await clock.advance(100);
    expect(server.reports.at(-1)).toMatchObject({ LeavesByRoot: { r2: 1 } });
  });

  it('tries again when the server was away', async () => {
    const { clock, server } = await startReporter();
    await clock.advance(100);
    const before = server.reports.length;
    server.setRoots(makeRoots('r1', 'r2'));
    server.down = true; // the new roots are on their way already
    await clock.advance(1_000);
    expect(server.reports).toHaveLength(before);
    server.heal();
    await clock.advance(20_000);
    expect(server.reports.at(-1)).toMatchObject({ RootIDs: ['r1', 'r2'] });
  });
});
