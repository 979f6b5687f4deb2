import { existsSync } from 'node:fs';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeClock } from '../../../../test/fakes/fake-clock.ts';
import { systemClock } from '../../../lib/clock.ts';
import { Slots } from '../../../lib/slots.ts';
import { probeOsService } from './os-service.ts';
import type { CheckResult } from './runner.ts';
import { type ProgramDeps, probeScript } from './script.ts';

const SIGNAL = new AbortController().signal;
let dir: string;
let deps: ProgramDeps;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'isthmus-script-'));
  deps = { clock: systemClock, env: { PATH: process.env.PATH }, slots: new Slots(2) };
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const shell = (line: string, options: { timeoutMs?: number; maxOutput?: number } = {}): Promise<CheckResult> =>
  probeScript(deps, { args: ['sh', '-c', line], timeoutMs: 30_000, maxOutput: 4_096, ...options }, SIGNAL);

describe('a script check', () => {
  it.each([
    [0, 'passing'],
    [1, 'warning'],
    [2, 'critical'],
    [255, 'critical'],
  ])('exit code %i is %s', async (code, status) => {
    expect(await shell(`echo out; exit ${code}`)).toEqual({ status, output: 'out\n' });
  });

  it('ended by a signal is critical', async () => {
    expect((await shell('kill -9 $$')).status).toBe('critical');
  });

  it('keeps the end of a long output', async () => {
    expect(await shell('yes | head -c 5000; printf END', { maxOutput: 5 })).toEqual({
      status: 'passing',
      output: 'Captured 5 of 5003 bytes\n...\ny\nEND'.replace('y\nEND', '\nEND'.padStart(5, 'y')),
    });
  });

  it('keeps its output as it is, secrets and odd bytes with it', async () => {
    const { output } = await shell(String.raw`printf 'token=abc\001\033[1m\377'`);
    expect(output).toBe('token=abc\u0001\u001b[1m\ufffd');
    expect(JSON.stringify(output)).toBe('"token=abc\\u0001\\u001b[1m\ufffd"');
  });

  it('says so when it takes too long, and what it wrote until then', async () => {
    const clock = new FakeClock();
    deps = { ...deps, clock };
    const running = shell(`echo begun; touch ${join(dir, 'begun')}; sleep 600`, { timeoutMs: 1_000 });
    await expect.poll(() => existsSync(join(dir, 'begun')), { timeout: 20_000 }).toBe(true);
    await clock.advance(1_000);
    const { over, ...result } = await running;
    expect(result.status).toBe('critical');
    // What was written is in a pipe, which may not have been read yet.
    expect(result.output).toMatch(/^Timed out \(1s\) running check(?:\n\nbegun\n)?$/);
    await over;
  });

  it('is not read by a shell: its arguments are what they are', async () => {
    const probe = { args: ['echo', '$HOME; exit 2', '*'], timeoutMs: 30_000, maxOutput: 4_096 };
    expect(await probeScript(deps, probe, SIGNAL)).toEqual({ status: 'passing', output: '$HOME; exit 2 *\n' });
  });

  it('waits while as many run as may; its time begins when it runs', async () => {
    const begin = join(dir, 'begin');
    const wait = `while [ ! -e ${begin} ]; do sleep 0.05; done; echo done`;
    const first = [shell(wait), shell(wait)];
    const third = shell('echo third', { timeoutMs: 30_000 });
    await expect.poll(() => [deps.slots.taken, deps.slots.waiting], { timeout: 10_000 }).toEqual([2, 1]);
    await writeFile(begin, '');
    expect((await Promise.all([...first, third])).map(({ output }) => output)).toEqual(['done\n', 'done\n', 'third\n']);
    await expect.poll(() => deps.slots.taken, { timeout: 10_000 }).toBe(0);
  });
});

describe('a check of a service of the system', () => {
  /** Stands in for the program of this name. */
  const program = async (name: string, script: string): Promise<void> => {
    await writeFile(join(dir, name), `#!/bin/sh\n${script}\n`);
    await chmod(join(dir, name), 0o755);
    deps = { ...deps, env: { PATH: dir } };
  };
  const probe = (name = 'nginx.service', timeoutMs = 30_000): Promise<CheckResult> =>
    probeOsService(deps, name, timeoutMs, SIGNAL);

  it.each([
    ['active', 0, 'passing', 'Service "nginx.service" is healthy'],
    ['activating', 3, 'warning', 'service status: activating'],
    ['reloading', 0, 'warning', 'service status: reloading'],
    ['inactive', 3, 'critical', 'service status: inactive'],
    ['failed', 3, 'critical', 'service status: failed'],
  ])('systemd says %s', async (word, code, status, output) => {
    await program('systemctl', `[ "$*" = "is-active -- nginx.service" ] || exit 9\necho ${word}; exit ${code}`);
    expect(await probe()).toEqual({ status, output });
  });

  it.each([
    [0, 'passing', 'Service "nginx.service" is healthy'],
    [3, 'critical', 'service status: * status: said'],
    [8, 'warning', 'service status: * status: said'],
    [32, 'critical', 'service status: * status: said'],
  ])('OpenRC ends with %i', async (code, status, output) => {
    await program('rc-service', `[ "$*" = "-- nginx.service status" ] || exit 9\necho ' * status: said'; exit ${code}`);
    expect(await probe()).toEqual({ status, output });
  });

  it('says so where neither is', async () => {
    deps = { ...deps, env: { PATH: dir } };
    expect(await probe()).toEqual({
      status: 'critical',
      output: expect.stringContaining('neither systemd (systemctl) nor OpenRC (rc-service)'),
    });
  });
});
