import { expect, it } from 'vitest';
import { FakeClock } from '../../../test/fakes/fake-clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { SignatureLimiter } from './limiter.ts';

const HOUR = 3_600_000;

function setUp() {
  const clock = new FakeClock();
  const limiter = new SignatureLimiter(clock);
  /** 0: signed; otherwise the milliseconds until its slot. */
  const ask = (perSecond: number, id: string, expires = 0): number => {
    try {
      limiter.take(perSecond, { id, expires });
      return 0;
    } catch (error) {
      expect(error).toBeInstanceOf(IsthmusError);
      expect((error as IsthmusError).code).toBe('rate_limited');
      return (error as IsthmusError).details.retryAfterMs as number;
    }
  };
  return { clock, limiter, ask };
}

it('lets a second’s worth through at once and gives the rest even slots', async () => {
  const { clock, ask, limiter } = setUp();
  for (let at = 0; at < 10; at += 1) expect(ask(10, `a${at}`)).toBe(0);
  expect([ask(10, 'b'), ask(10, 'c'), ask(10, 'b')]).toEqual([1_000, 1_100, 1_000]);
  await clock.advance(1_000);
  expect([ask(10, 'b'), ask(10, 'c'), limiter.waiting]).toEqual([0, 0, 0]);
  expect(ask(0, 'd')).toBe(0);
});

it('gives the caller the time of its slot', () => {
  const { limiter, ask } = setUp();
  ask(1, 'a');
  expect(() => limiter.take(1, { id: 'b', expires: 0 })).toThrow(
    'the CA signs 1 certificates each second: your slot is in 1s, at 2026-01-01T00:00:01.000Z',
  );
});

it('keeps its slots when the clock is set, forward or back', async () => {
  const { clock, ask, limiter } = setUp();
  expect(ask(1, 'a')).toBe(0);
  expect(ask(1, 'b')).toBe(1_000);
  for (const by of [240 * HOUR, -480 * HOUR]) {
    await clock.set(by);
    expect([ask(1, 'b'), limiter.waiting]).toEqual([1_000, 1]);
  }
  await clock.advance(1_000);
  expect([ask(1, 'b'), limiter.waiting]).toEqual([0, 0]);
  expect(ask(1, 'c')).toBe(1_000);
});

it('serves who has no certificate, then the least life left, whoever came first', async () => {
  const { clock, ask } = setUp();
  expect(ask(1, 'first')).toBe(0);
  const now = clock.now();
  expect(ask(1, 'long', now + 5 * HOUR)).toBe(1_000);
  expect(ask(1, 'short', now + HOUR)).toBe(1_000);
  expect(ask(1, 'none')).toBe(1_000);
  expect([ask(1, 'long', now + 5 * HOUR), ask(1, 'short', now + HOUR)]).toEqual([3_000, 2_000]);
  await clock.advance(1_000);
  expect(ask(1, 'long', now + 5 * HOUR)).toBe(2_000);
  expect(ask(1, 'none')).toBe(0);
  await clock.advance(1_000);
  expect([ask(1, 'long', now + 5 * HOUR), ask(1, 'short', now + HOUR)]).toEqual([1_000, 0]);
  await clock.advance(1_000);
  expect(ask(1, 'long', now + 5 * HOUR)).toBe(0);
});

it('does not wait for those who never come back', async () => {
  const { clock, ask, limiter } = setUp();
  ask(1, 'first');
  expect([ask(1, 'gone'), ask(1, 'here')]).toEqual([1_000, 2_000]);
  await clock.advance(3_001);
  expect(ask(1, 'here')).toBe(0);
  expect(limiter.waiting).toBe(0);
});

it('holds a lowered limit at once', async () => {
  const { clock, ask } = setUp();
  for (let at = 0; at < 10; at += 1) ask(10, `a${at}`);
  await clock.advance(500);
  expect(ask(2, 'b')).toBe(500);
  await clock.advance(500);
  expect([ask(2, 'b'), ask(2, 'c')]).toEqual([0, 0]);
  expect(ask(2, 'd')).toBe(1_000);
});

it('takes a storm of 2,000 at 50 each second to its end, in order of need and never above the limit', async () => {
  const { clock, ask } = setUp();
  const perSecond = 50;
  const begun = clock.now();
  // The life that is left spreads over four hours, the order of asking has nothing to do with it.
  const leaves = Array.from({ length: 2_000 }, (_, at) => {
    const mixed = (at * 1_999) % 2_000;
    return { id: String(at), expires: mixed < 100 ? 0 : begun + 5 * 60_000 + mixed * 7_200, at: begun };
  });
  const signed: { readonly at: number; readonly expires: number }[] = [];
  let refusals = 0;
  const due = new Map<number, typeof leaves>([[begun, leaves]]);
  for (let times = [begun]; times.length > 0; times = [...due.keys()].sort((a, b) => a - b)) {
    const [next = begun] = times;
    await clock.advance(Math.max(0, next - clock.now()));
    const batch = due.get(next) ?? [];
    due.delete(next);
    for (const leaf of batch) {
      const wait = ask(perSecond, leaf.id, leaf.expires);
      if (wait === 0) signed.push({ at: clock.now(), expires: leaf.expires });
      else {
        refusals += 1;
        const slot = clock.now() + wait;
        due.set(slot, [...(due.get(slot) ?? []), leaf]);
      }
    }
  }
  expect(signed.length).toBe(2_000);
  for (const [at, { at: time, expires }] of signed.entries()) {
    if (expires !== 0) expect(expires).toBeGreaterThan(time);
    const before = signed[at - perSecond];
    if (before !== undefined) expect(time - before.at).toBeGreaterThanOrEqual(1_000);
  }
  // What was signed by luck of coming first is one second's worth; then the line is kept, but for those told too early
  // a slot.
  const late = signed.slice(perSecond).map(({ expires }) => expires);
  expect(late.slice(0, 90)).toEqual(Array.from({ length: 90 }, () => 0));
  const inversions = late.filter((expires, at) => at > 0 && expires < (late[at - 1] ?? 0)).length;
  expect(inversions).toBe(0);
  expect((signed.at(-1)?.at ?? 0) - begun).toBeLessThanOrEqual(40_000);
  expect(refusals).toBeLessThan(10_000);
});
