import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Clock, createSystemClock } from './clock.ts';

describe('the system clock', () => {
  const times = { wall: 1_000_000, steady: 5 };
  let clock: Clock;
  const seen: number[] = [];

  const pass = (ms: number): void => {
    times.wall += ms;
    times.steady += ms;
    vi.advanceTimersByTime(ms);
  };

  beforeEach(() => {
    vi.useFakeTimers();
    seen.length = 0;
    clock = createSystemClock({ wall: () => times.wall, steady: () => times.steady });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('notices that the time of day was set, in either direction, once each', () => {
    const end = clock.onJump((byMs) => seen.push(byMs));
    pass(60_000);
    expect(seen).toEqual([]);
    times.wall += 10 * 86_400_000;
    pass(1_000);
    times.wall -= 10 * 86_400_000;
    pass(60_000);
    expect(seen).toEqual([10 * 86_400_000, -10 * 86_400_000]);
    end();
    times.wall += 60_000;
    pass(2_000);
    expect(seen).toHaveLength(2);
    expect(vi.getTimerCount()).toBe(0); // nobody listens: nothing runs
  });

  it('takes slow corrections for what they are, and the wait of a busy process for none', () => {
    clock.onJump((byMs) => seen.push(byMs));
    for (let second = 0; second < 100; second += 1) {
      times.wall += 100;
      pass(1_000);
    }
    pass(30_000);
    expect(seen).toEqual([]);
  });
});
