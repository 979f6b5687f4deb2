import { describe, expect, it } from 'vitest';
import { FakeClock } from '../../../test/fakes/fake-clock.ts';
import { Cookies, isCookie } from './cookies.ts';

const CLIENT = Buffer.from('0102030405060708', 'hex');
const SOURCE = '192.0.2.1';

describe('DNS cookies', () => {
  const clock = new FakeClock();
  const cookies = new Cookies(clock);
  const given = cookies.check(CLIENT, SOURCE);

  it('are given to who has none, and known again', () => {
    expect([given.valid, given.answer.length]).toEqual([false, 24]);
    expect(given.answer.subarray(0, 8)).toEqual(CLIENT);
    expect(cookies.check(given.answer, SOURCE)).toEqual({ valid: true, answer: given.answer });
  });

  it.each<[string, (cookie: Buffer) => Buffer, string]>([
    ['of another address', (cookie) => cookie, '192.0.2.2'],
    ['of another client', (cookie) => Buffer.concat([Buffer.alloc(8), cookie.subarray(8)]), SOURCE],
    [
      'with a changed hash',
      (cookie) => Buffer.concat([cookie.subarray(0, 23), Buffer.from([cookie[23]! ^ 1])]),
      SOURCE,
    ],
    [
      'with a changed time',
      (cookie) => Buffer.concat([cookie.subarray(0, 15), Buffer.from([cookie[15]! ^ 1]), cookie.subarray(16)]),
      SOURCE,
    ],
    ['of another length', (cookie) => Buffer.concat([cookie, Buffer.alloc(4)]), SOURCE],
  ])('%s prove nothing', (_what, change, source) => {
    const { valid, answer } = cookies.check(change(given.answer), source);
    expect([valid, answer.length]).toEqual([false, 24]);
  });

  it('of another process prove nothing', () => {
    expect(new Cookies(clock).check(given.answer, SOURCE).valid).toBe(false);
  });

  it('are replaced after half an hour, and good for an hour', async () => {
    const early = cookies.check(CLIENT, SOURCE).answer;
    await clock.advance(1_801_000);
    const renewed = cookies.check(early, SOURCE);
    expect(renewed.valid).toBe(true);
    expect(renewed.answer).not.toEqual(early);
    await clock.advance(1_800_000);
    expect([cookies.check(early, SOURCE).valid, cookies.check(renewed.answer, SOURCE).valid]).toEqual([false, true]);
  });

  it('have the lengths of RFC 7873', () => {
    const lengths = Array.from({ length: 50 }, (_, length) => length).filter((length) =>
      isCookie(Buffer.alloc(length)),
    );
    expect([lengths[0], lengths[1], lengths.at(-1), lengths.length]).toEqual([8, 16, 40, 26]);
  });
});
