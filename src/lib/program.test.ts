import { readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
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

it('kills what a program has started with it, when its time is up', async () => {
  const end = run(
    ['sh', '-c', `echo $$ >> ${dir}/pids; (echo $PPID; sleep 600) & sleep 600 & echo $! >> ${dir}/pids; wait`],
    {
      timeoutMs: 3_000,
    },
  );
  const pids = await pidsIn('pids', 2);
  expect((await end).kind).toBe('timeout');
  await (await end).gone;
  await expect.poll(() => pids.every(hasEnded), { timeout: 20_000 }).toBe(true);
});

it('kills what a program has left behind with its outputs open, when its time is up', async () => {
  const end = run(['sh', '-c', `sleep 600 & echo $! >> ${dir}/pids; exit 0`], { timeoutMs: 2_000 });
  const pids = await pidsIn('pids', 1);
  expect(await end).toMatchObject({ kind: 'timeout' });
  await (await end).gone;
  await expect.poll(() => pids.every(hasEnded), { timeout: 20_000 }).toBe(true);
});

it('does not wait for what has left its group with its outputs open', async () => {
  const end = run(['sh', '-c', `setsid sleep 600 & echo $! >> ${dir}/pids; exit 0`], { timeoutMs: 2_000 });
  const [pid = 0] = await pidsIn('pids', 1);
  expect(await end).toMatchObject({ kind: 'timeout' });
  await (await end).gone;
  if (!hasEnded(pid)) process.kill(pid, 'SIGKILL');
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
