import { describe, expect, it } from 'vitest';
import { FakeClock } from '../../test/fakes/fake-clock.ts';
import { fakeEndpoint } from '../../test/fakes/fake-mesh.ts';
import { IsthmusError } from '../lib/errors.ts';
import { createTaskGroup } from '../lib/task.ts';
import { noMetrics } from '../telemetry/types.ts';
import { Balancer } from './balancer.ts';
import { Dialer } from './dialer.ts';
import { Instance } from './instance.ts';
import { DEFAULT_LIMITS } from './limits.ts';
import { createMeters } from './meters.ts';
import { PeerReader } from './peer.ts';

const clock = new FakeClock(0);
const none = (): void => undefined;
const meters = createMeters(noMetrics, { connections: none, tunnels: none, leafExpiry: none, rootExpiry: none });
const trust = (): never => {
  throw new IsthmusError('internal', 'nothing is dialled here');
};
const deps = {
  clock,
  limits: DEFAULT_LIMITS,
  meters,
  trust,
  dialer: new Dialer({ clock, meters, peers: new PeerReader(), trust }),
  tasks: createTaskGroup({ clock, onError: none }),
};

function balancer(...weights: number[]): { balancer: Balancer; instances: Instance[] } {
  const endpoints = weights.map((weight, n) => fakeEndpoint(`127.0.0.1:${n + 1}`, 'db', 'dc2', weight));
  const instances = endpoints.map((endpoint) => new Instance(endpoint, deps));
  const made = new Balancer();
  made.set(endpoints, (endpoint) => instances[endpoint.port - 1] as Instance);
  return { balancer: made, instances };
}

describe('balancer', () => {
  it('shares load by weight', () => {
    const { balancer: balance, instances } = balancer(1, 3);
    for (let n = 0; n < 40; n += 1) {
      const picked = balance.pick(0, new Set());
      if (picked !== undefined) picked.load += 1;
    }
    expect(instances.map((instance) => instance.load)).toEqual([10, 30]);
  });

  it('takes equals in turn, skips those tried, and has none for no instance', () => {
    const { balancer: balance, instances } = balancer(1, 1, 1);
    const picked = new Set([1, 2, 3].map(() => balance.pick(0, new Set())));
    expect(picked.size).toBe(3);
    expect(balance.pick(0, new Set(instances.slice(0, 2)))).toBe(instances[2]);
    expect(balance.pick(0, new Set(instances))).toBeUndefined();
    expect(balancer().balancer.pick(0, new Set())).toBeUndefined();
  });

  it('leaves a failing instance out for longer each time, but not when all fail', async () => {
    const { balancer: balance, instances } = balancer(1, 1);
    const [first, second] = instances as [Instance, Instance];
    first.failed();
    expect([1, 2].map(() => balance.pick(clock.now(), new Set()))).toEqual([second, second]);
    second.failed();
    second.failed(); // 2 s now, the first one 1 s
    expect(balance.pick(clock.now(), new Set())).toBe(first);
    await clock.advance(1_001);
    expect([1, 2].map(() => balance.pick(clock.now(), new Set()))).toEqual([first, first]);
    second.succeeded();
    expect(new Set([1, 2].map(() => balance.pick(clock.now(), new Set()))).size).toBe(2);
  });
});
