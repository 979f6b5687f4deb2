import { afterEach, beforeEach, expect, it } from 'vitest';
import { FakeClock, settle } from '../../../test/fakes/fake-clock.ts';
import { WatchedAnswers } from '../../../test/fakes/watched-answers.ts';
import { IsthmusError } from '../../lib/errors.ts';
import type { ReadOptions, ServerContract } from '../../rpc/contract/contract.ts';
import { makeResult } from '../../rpc/contract/result.ts';
import { WatchPool } from '../../rpc/subscribe/watch-pool.ts';
import { noLog, noMetrics } from '../../telemetry/types.ts';
import { CachedReads } from './cached-reads.ts';

const never = new AbortController().signal;

let clock: FakeClock;
let servers: WatchedAnswers;
let pool: WatchPool;
let reads: CachedReads;
let direct: number;

beforeEach(() => {
  clock = new FakeClock();
  servers = new WatchedAnswers();
  direct = 0;
  const contract = {
    watch: servers.watch,
    read: async () => {
      direct += 1;
      return makeResult({ index: 99, value: 'direct' });
    },
  } as unknown as ServerContract;
  pool = new WatchPool({ contract, clock, log: noLog, metrics: noMetrics });
  reads = new CachedReads({ contract, pool, clock });
});

afterEach(async () => {
  reads.close();
  await pool.stop();
});

const read = (options: Partial<ReadOptions> = {}) =>
  reads.read('catalog.services', {}, { signal: never, cached: true, ...options });

it('asks once, then answers with what it follows: the same object until it changes', async () => {
  servers.set('', { web: [] });
  const first = await read();
  expect([first.value, first.cache]).toEqual([{ web: [] }, { hit: false, ageMs: 0 }]);
  const second = await read();
  expect([second.value, second.cache]).toEqual([{ web: [] }, { hit: true, ageMs: 0 }]);
  expect(await read()).toBe(second);
  servers.set('', { web: [], db: [] });
  await settle();
  const third = await read();
  expect([third.value, third.index > second.index]).toEqual([{ web: [], db: [] }, true]);
  expect([servers.begun, direct]).toEqual([1, 0]);
});

it('leaves reads that may not come from it to the servers', async () => {
  expect((await reads.read('catalog.services', {}, { signal: never })).value).toBe('direct');
  expect([servers.begun, direct]).toEqual([0, 1]);
});

it('keeps what each token sees apart', async () => {
  servers.set('', { web: [] });
  servers.set('secret', { web: [], db: [] });
  expect((await read()).value).toEqual({ web: [] });
  expect((await read({ token: 'secret' })).value).toEqual({ web: [], db: [] });
});

it('waits for the next answer where an index is given', async () => {
  servers.set('', 1);
  const { index } = await read();
  const next = read({ index });
  await settle();
  servers.set('', 2);
  expect((await next).value).toBe(2);
  const late = read({ index: index + 1, waitMs: 5_000 });
  await clock.advance(5_000);
  expect((await late).value).toBe(2);
});

it('goes on with the last answer while no server is reached, and says how old it is', async () => {
  servers.set('', 'known');
  await read();
  servers.cut();
  await clock.advance(90_000);
  const old = await read();
  expect([old.value, old.cache?.hit]).toEqual(['known', true]);
  expect(Math.round((old.cache?.ageMs ?? 0) / 1_000)).toBe(90);
  servers.heal();
  await clock.advance(10_000);
  expect((await read()).cache).toEqual({ hit: true, ageMs: 0 });
});

it('passes a refusal on, and asks anew the next time', async () => {
  servers.refuse('', new IsthmusError('not_found', 'no such thing'));
  await expect(read()).rejects.toMatchObject({ code: 'not_found', message: 'no such thing' });
  servers.set('', 'now there is');
  expect((await read()).value).toBe('now there is');
});

it('answers in time although no server does', async () => {
  const asked = expect(read()).rejects.toMatchObject({ code: 'unavailable' });
  await clock.advance(7_000);
  await asked;
});

it('no longer follows what is no longer asked for', async () => {
  servers.set('', 1);
  await read();
  expect(servers.open).toBe(1);
  await clock.advance(900_000);
  expect(servers.open).toBe(0);
});
