import { expect, it } from 'vitest';
import { FakeClock } from '../../test/fakes/fake-clock.ts';
import type { Engine, Op } from './engine.ts';
import { MemoryEngine } from './memory/memory-engine.ts';
import { type Migration, migrate } from './migrate.ts';

const signal = new AbortController().signal;
const put = (key: string, value = '1', lease?: string): Op =>
  lease === undefined ? { type: 'put', key, value } : { type: 'put', key, value, lease };

async function filled(clock: FakeClock): Promise<MemoryEngine> {
  const engine = new MemoryEngine(clock);
  for (let n = 0; n < 900; n += 1) await engine.txn({ compare: [], ops: [put(`k/${n % 700}`, String(n))] });
  const lease = await engine.grantLease(10_000);
  await engine.txn({ compare: [], ops: [put('session', '1', lease.id)] });
  return engine;
}

const run = (from: Engine, to: Engine, force = false): Promise<Migration> => migrate({ from, to, force, signal });

it('moves rows with their revisions and the epoch, and leaves out what is attached to a lease', async () => {
  const clock = new FakeClock();
  const [from, to] = [await filled(clock), new MemoryEngine(clock)];
  const steps: string[] = [];
  const moved = await migrate({
    from,
    to,
    force: false,
    signal,
    onProgress: (step, rows) => steps.push(`${step} ${rows}`),
  });
  expect(moved).toMatchObject({ rows: 700, epoch: from.epoch, fromRevision: 901, toRevision: 902 });
  const rows = (await from.range({ prefix: 'k/' })).rows;
  expect((await to.range({ prefix: '' })).rows).toEqual(rows);
  expect(to.epoch).toBe(from.epoch);
  expect(steps).toEqual(expect.arrayContaining(['copying 700', 'comparing 700', 'verifying 700']));
});

it('refuses a target that holds something, unless told to replace it', async () => {
  const clock = new FakeClock();
  const [from, to] = [await filled(clock), await filled(clock)];
  const { epoch } = to;
  await expect(run(from, to)).rejects.toMatchObject({ code: 'conflict' });
  expect(to.epoch).toBe(epoch);
  expect(await run(from, to, true)).toMatchObject({ rows: 700 });
  expect(to.epoch).toBe(from.epoch);
});

it('refuses an empty source', async () => {
  const clock = new FakeClock();
  await expect(run(new MemoryEngine(clock), await filled(clock), true)).rejects.toMatchObject({ code: 'not_found' });
});

it('changes nothing when the source changes while it is read', async () => {
  const clock = new FakeClock();
  const [from, to] = [await filled(clock), await filled(clock)];
  const before = await to.range({ prefix: '' });
  let late: Promise<unknown> = Promise.resolve();
  const onProgress = (step: string): void => {
    if (step === 'copying') late = from.txn({ compare: [], ops: [put('k/late')] });
  };
  await expect(migrate({ from, to, force: true, signal, onProgress })).rejects.toMatchObject({
    code: 'unavailable',
    message: expect.stringContaining('stop every server'),
  });
  await late;
  expect(await to.range({ prefix: '' })).toEqual(before);
});

it('refuses a shared store that a server leads', async () => {
  const clock = new FakeClock();
  const used = await filled(clock);
  Object.defineProperty(used, 'shared', { value: true });
  await used.txn({ compare: [], ops: [put('leadership/leader', '{"node":"s7"}')] });
  const refused = { code: 'unavailable', message: expect.stringContaining('in use by server "s7"') };
  await expect(run(used, new MemoryEngine(clock))).rejects.toMatchObject(refused);
  await expect(run(await filled(clock), used, true)).rejects.toMatchObject(refused);
});
