import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeClock, settle } from '../../../test/fakes/fake-clock.ts';
import { WatchedAnswers } from '../../../test/fakes/watched-answers.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { noLog, noMetrics } from '../../telemetry/types.ts';
import type { CacheEntry } from './cache-entry.ts';
import { type Question, questionKey } from './question.ts';
import { SubscriptionCache } from './subscription-cache.ts';
import { type Followed, WatchPool } from './watch-pool.ts';

const question = (token: string): Question<'catalog.services'> => ({ name: 'catalog.services', args: {}, token });

let clock: FakeClock;
let servers: WatchedAnswers;
let pool: WatchPool;
let cache: SubscriptionCache;

beforeEach(() => {
  clock = new FakeClock();
  servers = new WatchedAnswers();
  const contract = { watch: servers.watch as never };
  pool = new WatchPool({ contract, clock, log: noLog, metrics: noMetrics, answerWithinMs: 3_000 });
  cache = new SubscriptionCache({ pool, clock }, { max: 4, idleMs: 600_000 });
});
afterEach(async () => {
  cache.close();
  await pool.stop();
});

/** Asks, with an answer that is there. */
async function answered(token: string): Promise<CacheEntry<unknown>> {
  servers.set(token, {});
  const entry = cache.ask(question(token));
  await settle();
  return entry;
}

describe('a cache of subscriptions', () => {
  it('follows a question once, however often and by whomever it is asked', async () => {
    const [first, second] = [await answered('a'), await answered('a')];
    expect(second).toBe(first);
    expect(servers.begun).toBe(1);
    const other = new SubscriptionCache({ pool, clock }, { max: 4 });
    other.ask(question('a'));
    expect(servers.begun).toBe(1); // the same watch serves both
    cache.close();
    expect([first.open, servers.open]).toEqual([false, 1]);
    other.close();
    expect(servers.open).toBe(0);
  });

  it('drops what is no longer asked, and nothing that is', async () => {
    const [used, idle] = [await answered('used'), await answered('idle')];
    for (let minutes = 0; minutes < 12; minutes += 1) {
      await clock.advance(60_000);
      cache.get(question('used'));
    }
    expect([used.open, idle.open, servers.open]).toEqual([true, false, 1]);
    cache.close();
    expect(clock.next()).toBeUndefined();
  });

  it('makes room by dropping what was not asked since it took its place, never for what is asked now', async () => {
    for (const token of ['a', 'b', 'c', 'd']) await answered(token);
    await clock.advance(1_000);
    for (const token of ['a', 'b', 'c', 'd']) cache.get(question(token)); // all of them were used
    const added = await answered('e');
    expect([added.open, added.value]).toEqual([true, {}]);
    expect(cache.get(question('a'))).toBeUndefined();
    for (let number = 0; number < 100; number += 1) await answered(`${number}`);
    expect(servers.open).toBe(4);
  });

  it('keeps the last answer while its watch is broken, and shows since when it is', async () => {
    const entry = await answered('a');
    await clock.advance(5_000);
    servers.cut();
    await settle();
    expect(entry.state).toMatchObject({ value: {}, problem: 'no server is reached', lostAt: clock.now() });
    expect(clock.now() - entry.confirmedAt).toBe(5_000);
  });

  it('says so when no answer comes in time', async () => {
    const entry = cache.ask(question('silent'));
    const first = entry.first(7_000, new AbortController().signal);
    await clock.advance(3_000);
    await first;
    expect(entry.state).toMatchObject({ problem: 'no answer within 3 s', code: 'deadline' });
    servers.set('silent', {});
    await settle();
    expect([entry.value, entry.problem]).toEqual([{}, undefined]);
  });

  it('lets an asker give up, and wakes it when the question is dropped', async () => {
    const entry = cache.ask(question('silent'));
    const life = new AbortController();
    const given = entry.first(1_000, life.signal);
    const dropped = entry.first(1_000);
    life.abort(new IsthmusError('cancelled', 'enough'));
    await expect(given).rejects.toThrow('enough');
    cache.drop(entry);
    await dropped;
    expect(entry.open).toBe(false);
  });

  it('may drop a question because of its first state', async () => {
    const pooled = {
      follow: (_n: unknown, _a: unknown, _o: unknown, onState: (state: Followed<never>) => void) => {
        onState({ index: 0, problem: 'gone' });
        return () => {
          ended += 1;
        };
      },
    };
    let ended = 0;
    const eager = new SubscriptionCache({ pool: pooled as never, clock }, { max: 4 });
    const entry = eager.ask(question('a'), (begun) => begun.onChange(() => eager.drop(begun)));
    expect([entry.open, entry.problem, ended]).toEqual([false, 'gone', 1]);
    eager.close();
  });

  it('keeps what was made of an answer until the answer changes, and not more than a few things', async () => {
    const entry = await answered('a');
    entry.keep('A', 'made');
    expect(entry.derived('A')).toBe('made');
    servers.set('a', { web: [] });
    await settle();
    expect(entry.derived('A')).toBeUndefined();
    for (let number = 0; number < 1_000; number += 1) entry.keep(`${number}`, 'made');
    const kept = Array.from({ length: 1_000 }, (_, number) => entry.derived(`${number}`)).filter(Boolean);
    expect(kept.length).toBeLessThanOrEqual(32);
    expect(entry.derived('999')).toBe('made');
  });
});

it('a question is the same when all that its answer depends on is', () => {
  const args = { service: 'db' };
  const key = questionKey({ name: 'health.service', args });
  expect(questionKey({ name: 'health.service', args: { ...args }, datacenter: '', token: '' })).toBe(key);
  for (const other of [{ token: 'a' }, { datacenter: 'dc2' }, { args: { service: 'web' } }])
    expect(questionKey({ name: 'health.service', args, ...other })).not.toBe(key);
});
