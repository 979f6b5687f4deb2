import { afterEach, describe, expect, it } from 'vitest';
import { FakeClock } from '../../../test/fakes/fake-clock.ts';
import { fakeEndpoint } from '../../../test/fakes/fake-mesh.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { createTaskGroup } from '../../lib/task.ts';
import type { SidecarEndpoint } from '../../model/sidecar.ts';
import { noLog, noMetrics } from '../../telemetry/types.ts';
import { DEFAULT_LIMITS } from '../limits.ts';
import { createMeters } from '../meters.ts';
import { PeerReader } from '../wire/peer.ts';
import { Balancer } from './balancer.ts';
import { Dialer } from './dialer.ts';
import { Instance } from './instance.ts';

const none = (): void => undefined;
const meters = createMeters(noMetrics, {
  connections: none,
  tunnels: none,
  leftOut: none,
  leafExpiry: none,
  rootExpiry: none,
});

const NOBODY: ReadonlySet<Instance> = new Set();

/** A balancer whose instances can be reached or not as the test says; nothing is dialled by it. */
class Bench {
  readonly clock = new FakeClock(1_000_000);
  chance: () => number = () => 0.5;
  readonly balancer = new Balancer<Instance>(() => this.chance());
  readonly #instances = new Map<string, Instance>();
  readonly #tasks = createTaskGroup({ clock: this.clock, onError: none });

  set(...endpoints: readonly SidecarEndpoint[]): void {
    this.balancer.set(endpoints, this.clock.now(), ({ id }) => this.of(id));
  }

  of(id: string): Instance {
    let instance = this.#instances.get(id);
    if (instance === undefined) {
      const trust = (): never => {
        throw new IsthmusError('unavailable', 'nothing can be dialled here');
      };
      instance = new Instance(
        { ...fakeEndpoint('127.0.0.1:1', 'db', 'dc2'), id },
        {
          clock: this.clock,
          log: noLog,
          limits: DEFAULT_LIMITS,
          meters,
          trust,
          dialer: new Dialer({ clock: this.clock, meters, peers: new PeerReader(), trust }),
          tasks: this.#tasks,
        },
        [],
      );
      this.#instances.set(id, instance);
    }
    return instance;
  }

  pick(tried = NOBODY): string | undefined {
    return this.balancer.pick(this.clock.now(), tried)?.instance.endpoint.id;
  }

  /** Picks of each instance out of so many, none of which stays open. */
  counts(picks: number): Record<string, number> {
    const counts: Record<string, number> = {};
    for (let n = 0; n < picks; n += 1) {
      const id = this.pick() ?? 'none';
      counts[id] = (counts[id] ?? 0) + 1;
    }
    return counts;
  }

  async close(): Promise<void> {
    for (const instance of this.#instances.values()) instance.release();
    await this.#tasks.stop();
  }
}

let bench: Bench;
const start = (): Bench => {
  bench = new Bench();
  return bench;
};
afterEach(() => bench.close());

const at = (id: string, more: Partial<SidecarEndpoint> = {}): SidecarEndpoint => ({
  ...fakeEndpoint('127.0.0.1:1', 'db', 'dc2'),
  id,
  ...more,
});
/** Even chances without chance: a tenth, two tenths, … */
const evenly = (): (() => number) => {
  let n = 0;
  return () => (n++ % 10) / 10;
};

describe('within a target', () => {
  it('shares what is open by weight', () => {
    const test = start();
    test.set(at('a', { weight: 1 }), at('b', { weight: 3 }));
    for (let n = 0; n < 40; n += 1) test.of(test.pick() ?? '').load += 1;
    expect([test.of('a').load, test.of('b').load]).toEqual([10, 30]);
  });

  it('shares by weight also when nothing stays open', () => {
    const test = start();
    test.set(at('a', { weight: 1 }), at('b', { weight: 9 }));
    const { a = 0, b = 0 } = test.counts(1_000);
    expect(a).toBeGreaterThan(95);
    expect(a).toBeLessThan(105);
    expect(a + b).toBe(1_000);
  });

  it('goes on sharing so over any number of connections', () => {
    const test = start();
    test.set(at('a'), at('b'));
    test.counts(100_000);
    expect(test.counts(10)).toEqual({ a: 5, b: 5 });
  });

  it('takes equals in turn, skips those tried, and has none for no instance', () => {
    const test = start();
    expect(test.pick()).toBeUndefined();
    test.set(at('a'), at('b'), at('c'));
    expect(new Set([1, 2, 3].map(() => test.pick())).size).toBe(3);
    expect(test.pick(new Set([test.of('a'), test.of('b')]))).toBe('c');
    expect(test.pick(new Set(['a', 'b', 'c'].map((id) => test.of(id))))).toBeUndefined();
  });

  it('gives a new instance its turn, not all turns', () => {
    const test = start();
    test.set(at('a'), at('b'));
    test.counts(100);
    test.set(at('a'), at('b'), at('c'));
    expect(test.counts(3)).toEqual({ a: 1, b: 1, c: 1 });
  });

  it('begins where chance says, so that many sidecars do not begin with the same one', () => {
    const first = [0.1, 0.9].map((chance) => {
      const test = start();
      let n = 0;
      test.chance = () => (n++ === 0 ? chance : 0.5);
      test.set(at('a'), at('b'));
      return test.pick();
    });
    expect(first).toEqual(['a', 'b']);
  });
});

describe('an instance that fails', () => {
  it('is left out, but not when all fail', async () => {
    const test = start();
    test.set(at('a'), at('b'));
    test.of('a').failed('local_unreachable');
    expect(test.counts(4)).toEqual({ b: 4 });
    await test.clock.advance(500);
    test.of('b').failed('local_unreachable');
    expect(test.pick()).toBe('a'); // its time is up first
  });

  it('comes back when its time is up if it was reached, for longer each time', async () => {
    const test = start();
    test.set(at('a'), at('b'));
    for (const ms of [1_000, 2_000, 4_000]) {
      test.of('a').failed('local_unreachable');
      test.of('a').failed('local_unreachable'); // begun before: counts once
      await test.clock.advance(ms - 1);
      expect(test.counts(4)).toEqual({ b: 4 });
      await test.clock.advance(2);
      expect(test.counts(4).a).toBeGreaterThan(0);
    }
    test.of('a').succeeded();
    test.of('a').failed('local_unreachable');
    await test.clock.advance(1_001);
    expect(test.counts(4).a).toBeGreaterThan(0);
  });

  it('is looked after by the sidecar itself if it could not be reached', async () => {
    const test = start();
    test.set(at('a'), at('b'));
    test.of('a').failed('unreachable');
    await test.clock.advance(120_000); // no attempt reaches it
    expect(test.counts(4)).toEqual({ b: 4 });
    test.of('a').succeeded();
    expect(test.counts(4)).toEqual({ a: 2, b: 2 });
  });

  it('is borne with as long as the upstream says', async () => {
    const test = start();
    test.set(at('a'), at('b'));
    const tolerance = { maxFailures: 2, intervalMs: 10_000 };
    test.of('a').failed('local_unreachable', tolerance);
    await test.clock.advance(10_001);
    test.of('a').failed('local_unreachable', tolerance);
    expect(test.counts(4).a).toBe(2);
    test.of('a').failed('local_unreachable', tolerance);
    expect(test.counts(4)).toEqual({ b: 4 });
  });
});

describe('several targets', () => {
  const near = at('near', { target: 'db.dc1' });
  const far = at('far', { target: 'db.dc2' });
  const last = at('last', { target: 'db.dc3' });

  it('takes the first one alone, and the next one at once when it is gone', () => {
    const test = start();
    test.set(near, far, last);
    expect(test.counts(10)).toEqual({ near: 10 });
    test.set(far, last);
    expect(test.counts(10)).toEqual({ far: 10 });
    test.set();
    expect(test.pick()).toBeUndefined();
  });

  it('goes back step by step, whether or not connections stay open', async () => {
    const test = start();
    test.set(far);
    test.set(near, far);
    test.chance = evenly();
    for (let step = 1; step <= 9; step += 1) {
      expect(test.counts(100)).toEqual({ near: step * 10, far: 100 - step * 10 });
      await test.clock.advance(1_000);
    }
    expect(test.counts(100)).toEqual({ near: 100 });
  });

  it('goes back at once when there is nothing else', () => {
    const test = start();
    test.set(near);
    test.set();
    test.set(near);
    expect(test.counts(10)).toEqual({ near: 10 });
    test.set(far);
    expect(test.counts(10)).toEqual({ far: 10 });
  });

  it('leaves the ramp when the better one fails again', async () => {
    const test = start();
    test.set(far);
    test.set(near, far);
    await test.clock.advance(5_000);
    test.set(far);
    expect(test.counts(10)).toEqual({ far: 10 });
    test.set(near, far);
    test.chance = evenly();
    expect(test.counts(10)).toEqual({ near: 1, far: 9 });
  });

  it('follows a change of their order at once', () => {
    const test = start();
    test.set(near, far);
    test.set(far, near);
    expect(test.counts(10)).toEqual({ far: 10 });
  });

  it('does not ramp when all instances of one are replaced by others', () => {
    const test = start();
    test.set(near, far);
    test.set(at('near-2', { target: 'db.dc1' }), far);
    expect(test.counts(10)).toEqual({ 'near-2': 10 });
  });

  it('leaves one whose instances can not be reached, though they are listed, and goes back step by step', async () => {
    const test = start();
    test.set(near, at('near-2', { target: 'db.dc1' }), far);
    test.of('near').failed('unreachable');
    expect(test.counts(10)).toEqual({ 'near-2': 10 });
    test.of('near-2').failed('handshake_timeout');
    expect(test.counts(10)).toEqual({ far: 10 });
    await test.clock.advance(3_000);
    test.of('near-2').succeeded();
    await test.clock.advance(2_000);
    test.chance = evenly();
    expect(test.counts(10)).toEqual({ 'near-2': 3, far: 7 });
  });

  it('does not spend a connection on one target when another would take it', () => {
    const test = start();
    const many = ['a', 'b', 'c', 'd', 'e'].map((id) => at(id, { target: 'db.dc1' }));
    test.set(...many, far, last);
    const tried = new Set<Instance>();
    const order: (string | undefined)[] = [];
    for (let n = 0; n < test.balancer.maxTries(4); n += 1) {
      const id = test.pick(tried);
      order.push(id);
      if (id === undefined) break;
      tried.add(test.of(id));
      test.of(id).failed('unreachable');
    }
    expect(order).toHaveLength(8); // five, one, one, and no more
    expect(order.slice(2, 4)).toEqual(['far', 'last']);
    expect(order.at(-1)).toBeUndefined();
  });

  it('takes what can not be confirmed only when there is nothing else, and goes back to it step by step', () => {
    const test = start();
    test.set(near, far);
    const lost = { ...near, lastResort: true } as const;
    test.set(far, lost);
    expect(test.counts(10)).toEqual({ far: 10 });
    test.set({ ...far, lastResort: true }, lost);
    expect(test.counts(10)).toEqual({ far: 10 });
    test.set(far, lost);
    test.set(near, far);
    test.chance = evenly();
    expect(test.counts(10)).toEqual({ near: 1, far: 9 });
  });

  it('sheds nothing of a ramp on what can not be confirmed', () => {
    const test = start();
    test.set(far);
    test.set(near, { ...far, lastResort: true });
    expect(test.counts(10)).toEqual({ near: 10 });
  });

  it('hands on the time-out of each target', () => {
    const test = start();
    test.set({ ...near, connectTimeoutMs: 700 });
    expect(test.balancer.pick(test.clock.now(), NOBODY)?.connectTimeoutMs).toBe(700);
  });
});
