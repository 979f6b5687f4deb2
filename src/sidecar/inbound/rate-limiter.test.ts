import { expect, it } from 'vitest';
import { FakeClock } from '../../../test/fakes/fake-clock.ts';
import { rateLimits } from '../../model/layer7/rate-limits.ts';
import type { HttpRequest } from '../../model/layer7/request.ts';
import { RateLimiter } from './rate-limiter.ts';

const request = (path: string): HttpRequest => ({ method: 'GET', path, headers: [] }) as unknown as HttpRequest;

it('takes as many requests as the entry says, each path by itself, and more as time goes on', async () => {
  const clock = new FakeClock();
  const entry = {
    RateLimits: {
      InstanceLevel: {
        RequestsPerSecond: 2,
        Routes: [{ PathPrefix: '/few', RequestsPerSecond: 1, RequestsMaxBurst: 3 }, { PathExact: '/free' }],
      },
    },
  };
  const limiter = new RateLimiter(rateLimits(entry as never), clock);
  const taken = (path: string, times: number): number =>
    Array.from({ length: times }, () => limiter.admits(request(path))).filter(Boolean).length;
  expect([taken('/few/a?b', 5), taken('/', 5)]).toEqual([3, 2]);
  await clock.advance(1_000);
  expect([taken('/few', 5), taken('/other', 5)]).toEqual([1, 2]);
  await clock.advance(60_000);
  expect(taken('/few', 9)).toBe(3);
});

it('takes all when nothing is said', () => {
  const limiter = new RateLimiter(rateLimits(undefined), new FakeClock());
  for (let n = 0; n < 1_000; n += 1) expect(limiter.admits(request('/'))).toBe(true);
});
