import { readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { FakeClock } from '../../test/fakes/fake-clock.ts';
import { systemClock } from './clock.ts';
import { type ProgramEnd, type ProgramOptions, runProgram } from './program.ts';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'isthmus-program-'));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const run = (args: readonly string[], options: Partial<ProgramOptions> = {}): Promise<ProgramEnd> =>
  runProgram({
    ...{ args, env: process.env, timeoutMs: 30_000, maxOutput: 4_096, clock: systemClock },
    signal: new AbortController().signal,
    ...options,
  });

/** What a file of a process ID says of it: gone, or waiting for its parent to ask. */
function hasEnded(pid: number): boolean {
  try {
    return / [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return true;
  }
}

/** The IDs that a script has written into `name`, one a line. */
async function pidsIn(name: string, count: number): Promise<readonly number[]> {
  const lines = async (): Promise<readonly number[]> => {
    const text = await readFile(join(dir, name), 'utf8').catch(() => '');
    return text.split('\n').slice(0, -1).map(Number);
  };
  await expect.poll(async () => (await lines()).length, { timeout: 20_000 }).toBe(count);
  return lines();
}

it('says how a program ended, with both of its outputs', async () => {
  const end = await run(['sh', '-c', 'cat; echo err >&2; exit 3'], { input: 'in\n' });
  expect(end).toMatchObject({ kind: 'exit', code: 3, written: 7 });
  expect(end.output.toString()).toBe('in\nerr\n');
});

it('keeps the last bytes of an output without end', async () => {
  const end = await run(['sh', '-c', 'yes abcdefg | head -c 1000000; printf END'], { maxOutput: 10 });
  expect(end).toMatchObject({ kind: 'exit', code: 0, written: 1_000_003 });
  expect(end.output.toString()).toBe('bcdefg\nEND');
});

it('says why a program could not be started', async () => {
  expect(await run(['no-such-program'])).toMatchObject({
    kind: 'failed',
    reason: 'exec: "no-such-program": executable file not found in $PATH',
  });
  expect(await run(['/no/such'])).toMatchObject({ reason: 'fork/exec /no/such: no such file or directory' });
  expect(await run([dir])).toMatchObject({ reason: `fork/exec ${dir}: permission denied` });
  expect(await run(['a\0b'])).toMatchObject({ kind: 'failed' });
});

const LIMIT_MS = 60_000;

/** Runs a line that writes process IDs into `pids`, and once they are there lets its time be up. */
async function runTooLong(line: string, count: number): Promise<{ end: ProgramEnd; pids: readonly number[] }> {
  const clock = new FakeClock();
  const running = run(['sh', '-c', line], { timeoutMs: LIMIT_MS, clock });
  const pids = await pidsIn('pids', count);
  await clock.advance(LIMIT_MS);
  const end = await running;
  expect(end.kind).toBe('timeout');
  await end.gone;
  return { end, pids };
}

it('kills what a program has started with it, when its time is up', async () => {
  const { pids } = await runTooLong(
    `echo $$ >> ${dir}/pids; (sleep 600) & sleep 600 & echo $! >> ${dir}/pids; wait`,
    2,
  );
  await expect.poll(() => pids.every(hasEnded), { timeout: 20_000 }).toBe(true);
});

it('kills what a program has left behind with its outputs open, when its time is up', async () => {
  const { pids } = await runTooLong(`sleep 600 & echo $! >> ${dir}/pids; exit 0`, 1);
  await expect.poll(() => pids.every(hasEnded), { timeout: 20_000 }).toBe(true);
});

it('does not wait for what has left its group with its outputs open', async () => {
  const line = `setsid sh -c 'echo $$ >> ${dir}/pids; exec sleep 600' & exit 0`;
  const { pids } = await runTooLong(line, 1);
  expect(pids.map(hasEnded)).toEqual([false]);
  for (const pid of pids) process.kill(pid, 'SIGKILL');
});

it('kills a program on abort', async () => {
  const stop = new AbortController();
  const end = run(['sh', '-c', `echo $$ >> ${dir}/pids; sleep 600`], { signal: stop.signal });
  const pids = await pidsIn('pids', 1);
  stop.abort();
  expect(await end).toMatchObject({ kind: 'exit', code: -1 });
  expect(pids.every(hasEnded)).toBe(true);
  expect(await run(['sleep', '600'], { signal: stop.signal })).toMatchObject({ kind: 'exit', code: -1 });
});
