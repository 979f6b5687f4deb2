import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeClock } from '../../../test/fakes/fake-clock.ts';
import { createTaskGroup, type TaskGroup } from '../../lib/task.ts';
import type { RefusalReason } from '../refusals.ts';
import { Outlier } from './outlier.ts';

const HOUR = 3_600_000;

let clock: FakeClock;
let tasks: TaskGroup;
let probes: number;
let reachable: boolean;
let changes: (RefusalReason | undefined)[];
let outlier: Outlier;

beforeEach(() => {
  clock = new FakeClock();
  tasks = createTaskGroup({ clock, onError: () => undefined });
  probes = 0;
  reachable = false;
  changes = [];
  outlier = new Outlier({
    clock,
    tasks,
    limits: { ejectBaseMs: 1_000, ejectMaxMs: 60_000 },
    probe: async () => {
      probes += 1;
      if (!reachable) throw new Error('not reached');
    },
    onChange: (reason) => changes.push(reason),
  });
});
afterEach(async () => {
  outlier.close();
  await tasks.stop();
});

const out = (): boolean => outlier.ejectedUntil > clock.steady();

describe('an instance that failed', () => {
  it('that was never left out came back before all times', () => {
    expect([out(), outlier.recoveredAt]).toEqual([false, Number.NEGATIVE_INFINITY]);
  });

  it.each([240 * HOUR, -240 * HOUR])(
    'and refused comes back when its time is up, with a clock set by %d ms',
    async (by) => {
      outlier.failed('limit');
      await clock.set(by);
      await clock.advance(900);
      expect(out()).toBe(true);
      await clock.advance(200);
      expect(out()).toBe(false);
    },
  );

  it.each([240 * HOUR, -240 * HOUR])('is tried again at its times, with a clock set by %d ms', async (by) => {
    outlier.failed('unreachable');
    await clock.set(by);
    await clock.advance(900);
    expect([probes, out()]).toEqual([0, true]);
    await clock.advance(200);
    expect([probes, out()]).toEqual([1, true]);
    await clock.set(-by);
    reachable = true;
    await clock.advance(2_100);
    expect([probes, out(), changes]).toEqual([2, false, ['unreachable', undefined]]);
    expect(clock.steady() - outlier.recoveredAt).toBeLessThan(2_100);
  });

  it('several times within its interval, not when the clock was set between', async () => {
    const tolerance = { maxFailures: 2, intervalMs: 10_000 };
    outlier.failed('limit', tolerance);
    await clock.set(HOUR);
    outlier.failed('limit', tolerance);
    expect(out()).toBe(true);
  });
});
