import { afterEach, beforeEach, expect, it } from 'vitest';
import { FakeClock, settle } from '../../../test/fakes/fake-clock.ts';
import { WatchedAnswers } from '../../../test/fakes/watched-answers.ts';
import { compileRules } from '../../daemon/access/access.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { ALL_RIGHTS, type Grants } from '../../model/rights.ts';
import { WatchPool } from '../../rpc/subscribe/watch-pool.ts';
import { noLog, noMetrics } from '../../telemetry/types.ts';
import { CallerRights, type CallerRightsDeps } from './caller-rights.ts';
import { carriedRights } from './carried-rights.ts';

const never = new AbortController().signal;
const TTL_MS = 30_000;

let clock: FakeClock;
let servers: WatchedAnswers;
let pool: WatchPool;
const made: CallerRights[] = [];

beforeEach(() => {
  clock = new FakeClock();
  servers = new WatchedAnswers();
  pool = new WatchPool({ contract: { watch: servers.watch as never }, clock, log: noLog, metrics: noMetrics });
});

afterEach(async () => {
  for (const callers of made.splice(0)) callers.close();
  await pool.stop();
});

function callersWith(downPolicy: CallerRightsDeps['downPolicy'] = 'extend-cache'): CallerRights {
  const own = (secret: string) => (secret === 'recovery' ? ALL_RIGHTS : undefined);
  const callers = new CallerRights({
    pool,
    clock,
    ttlMs: TTL_MS,
    downPolicy,
    own,
    compile: (given) => carriedRights(compileRules, given),
  });
  made.push(callers);
  return callers;
}

const grants = (level: 'read' | 'write'): Grants => ({
  AccessorID: 'web-token',
  Everything: false,
  Replication: false,
  DefaultAllow: false,
  Rules: [{ resource: 'service', name: 'web', prefix: false, level }],
});
const UNKNOWN = new IsthmusError('permission_denied', 'ACL not found');
const mayWrite = async (callers: CallerRights, secret = 'secret'): Promise<boolean> =>
  (callers.peek(secret) ?? (await callers.resolve(secret, never))).rights.may('service', 'web', 'write');

it('knows a token once it was asked about, and every change of it at once', async () => {
  servers.set('secret', grants('write'));
  const callers = callersWith();
  let changes = 0;
  callers.onChange(() => {
    changes += 1;
  });
  expect(callers.peek('secret')).toBeUndefined();
  expect(await mayWrite(callers)).toBe(true);
  expect(callers.peek('secret')?.accessor).toBe('web-token');
  servers.set('secret', grants('read'));
  await settle();
  expect(await mayWrite(callers)).toBe(false);
  expect([servers.begun, changes]).toEqual([1, 2]);
});

it('refuses a token that does not exist, or no longer does, and never keeps that', async () => {
  servers.refuse('secret', UNKNOWN);
  const callers = callersWith();
  await expect(callers.resolve('secret', never)).rejects.toMatchObject({ message: 'ACL not found' });
  servers.set('secret', grants('write'));
  expect(await mayWrite(callers)).toBe(true);
  servers.refuse('secret', UNKNOWN);
  await settle();
  expect(callers.peek('secret')).toBeUndefined();
  await expect(callers.resolve('secret', never)).rejects.toMatchObject({ code: 'permission_denied' });
});

it.each([
  ['extend-cache', true],
  ['async-cache', true],
  ['deny', false],
  ['allow', true],
] as const)('while no server is reached, what was known counts for its time, then %s does', async (policy, after) => {
  servers.set('secret', grants('write'));
  const callers = callersWith(policy);
  await mayWrite(callers);
  servers.cut();
  await clock.advance(TTL_MS - 1_000);
  expect(await mayWrite(callers)).toBe(true);
  await clock.advance(2_000);
  expect(await mayWrite(callers)).toBe(after);
  servers.heal();
  await clock.advance(10_000);
  expect(await mayWrite(callers)).toBe(true);
});

it.each([-86_400_000, 86_400_000])('a clock that is set by %i ms changes nothing in that', async (byMs) => {
  servers.set('secret', grants('write'));
  const callers = callersWith('deny');
  await mayWrite(callers);
  servers.cut();
  await clock.advance(1_000);
  await clock.set(byMs);
  expect(await mayWrite(callers)).toBe(true);
  await clock.advance(TTL_MS);
  expect(await mayWrite(callers)).toBe(false);
});

it('while no server is reached, an unknown token may nothing; with "allow" all but managing tokens', async () => {
  servers.cut();
  const denying = mayWrite(callersWith());
  await clock.advance(3_000);
  expect(await denying).toBe(false);
  const allowing = callersWith('allow');
  const asked = allowing.resolve('another', never);
  await clock.advance(3_000);
  const { rights } = await asked;
  expect([rights.may('service', 'web', 'write'), rights.may('acl', '', 'write')]).toEqual([true, false]);
});

it('takes the recovery token without asking anybody', async () => {
  servers.cut();
  expect(await mayWrite(callersWith(), 'recovery')).toBe(true);
  expect(servers.begun).toBe(0);
});

it('no longer follows a token that is no longer used', async () => {
  servers.set('secret', grants('write'));
  await mayWrite(callersWith());
  expect(servers.open).toBe(1);
  await clock.advance(900_000);
  expect(servers.open).toBe(0);
});
