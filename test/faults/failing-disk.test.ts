import { execFileSync, spawnSync } from 'node:child_process';
import { Resolver } from 'node:dns/promises';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { open } from 'lmdb';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  type AgentProcess,
  assertNoneLeft,
  BINARY,
  callAgent,
  type HttpAnswer,
  startAgent,
  waitFor,
} from '../harness/index.ts';
import { mayMount, smallDisk } from '../harness/small-disk.ts';

const mounts = mayMount();
const compiles = spawnSync('cc', ['--version']).status === 0;

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'isthmus-failing-disk-'));
});
afterEach(assertNoneLeft);
afterAll(() => rmSync(folder, { recursive: true }));

/** A way in which the disk fails, while the agent runs. */
interface Fault {
  readonly name: string;
  begin(): void;
  end(): void;
  /** What the refused write says. */
  readonly text: string;
  /** False: files beside the store can still be written. */
  readonly allFiles: boolean;
}

const start = (dataDir: string, options: Partial<Parameters<typeof startAgent>[0]> = {}): Promise<AgentProcess> =>
  startAgent({
    name: 's1',
    datacenter: 'dc1',
    dataDir,
    ...options,
    config: { audit: { enabled: true }, log_file: join(dataDir, 'log', 'agent.json'), ...options.config },
  });

const intend = (agent: AgentProcess, source: string): Promise<HttpAnswer> =>
  agent.http('PUT', `/v1/connect/intentions/exact?source=${source}&destination=db`, {
    SourceType: 'consul',
    Action: 'allow',
    Description: 'x'.repeat(500),
  });

const sources = async (agent: AgentProcess): Promise<string[]> =>
  (await callAgent<{ SourceName: string }[]>(agent, 'GET', '/v1/connect/intentions'))
    .map((one) => one.SourceName)
    .sort();

const writable = async (agent: AgentProcess): Promise<string | undefined> =>
  /^isthmus_store_writable (\d)$/m.exec((await agent.http('GET', '/v1/agent/metrics?format=prometheus')).body)?.[1];

/** Whatever needs no disk: reads, certificates old and new, health, DNS. */
async function expectServed(agent: AgentProcess, service: string): Promise<void> {
  expect(await sources(agent)).toContain('before');
  for (const name of ['web', service]) await callAgent(agent, 'GET', `/v1/agent/connect/ca/leaf/${name}`);
  expect(await callAgent(agent, 'GET', '/v1/health/service/web')).toHaveLength(1);
  expect(await callAgent(agent, 'GET', '/v1/catalog/services?consistent')).toHaveProperty('web');
  const resolver = new Resolver();
  resolver.setServers([agent.ready.dns as string]);
  expect(await resolver.resolve4('web.service.consul')).toEqual(['127.0.0.1']);
}

/** Breaks the disk and mends it again under a running agent; returns what it has acknowledged. */
async function suffer(agent: AgentProcess, { name, begin, end, text, allFiles }: Fault): Promise<string[]> {
  const word = name.replaceAll(/\W/g, '-');
  begin();
  const refused = await Promise.all(Array.from({ length: 8 }, (_, n) => intend(agent, `${word}-${n}`)));
  refused.push(await intend(agent, `${word}-alone`));
  for (const { status, body } of refused) {
    expect(body, name).toContain(text);
    expect(status).toBe(503);
  }
  await expectServed(agent, `new-${word}`);
  expect(await writable(agent)).toBe('0');
  const registered = await agent.http('PUT', '/v1/agent/service/register', { Name: `late-${word}`, Port: 80 });
  expect(registered.status, registered.body).toBe(allFiles ? 503 : 200);
  if (allFiles) expect(registered.body).toContain('not on disk');
  expect(agent.running).toBe(true);
  end();
  const healed = await intend(agent, `healed-${word}`);
  expect(healed.status, healed.body).toBe(200);
  expect(await writable(agent)).toBe('1');
  return [`healed-${word}`];
}

/** After the faults: killed, and back with all that was acknowledged and nothing that was refused. */
async function expectKept(agent: AgentProcess, acknowledged: readonly string[]): Promise<void> {
  const roots = async (): Promise<unknown> =>
    (await callAgent<{ Roots: unknown }>(agent, 'GET', '/v1/connect/ca/roots')).Roots;
  const before = await roots();
  await agent.kill9();
  await agent.restart();
  expect(await sources(agent)).toEqual(['before', ...acknowledged].sort());
  expect(await roots()).toEqual(before);
}

describe('a disk that fails under a server', () => {
  it.skipIf(!mounts)(
    `full, or a file that may not grow${mounts ? '' : ' (skipped: mounting is not allowed)'}`,
    async () => {
      const disk = smallDisk(24);
      try {
        const agent = await start(disk.path);
        await callAgent(agent, 'PUT', '/v1/agent/service/register', { Name: 'web', Port: 80 });
        expect((await intend(agent, 'before')).status).toBe(200);
        await callAgent(agent, 'GET', '/v1/agent/connect/ca/leaf/web');
        const limit = (bytes: string): void =>
          void execFileSync('prlimit', ['--pid', String(agent.pid), `--fsize=${bytes}:unlimited`]);
        const acknowledged = [
          ...(await suffer(agent, {
            name: 'full',
            begin: disk.fill,
            end: disk.makeRoom,
            text: 'no space left',
            allFiles: true,
          })),
          ...(await suffer(agent, {
            name: 'limited',
            begin: () => limit('0'),
            end: () => limit('unlimited'),
            text: 'may not grow further',
            allFiles: true,
          })),
        ];
        for (const line of ['the audit log cannot be written', "can't be written: no space"])
          expect(agent.log()).toContain(line);
        for (const line of ['the audit log is written again', 'can be written again'])
          expect(agent.log()).toContain(line);
        await expectKept(agent, acknowledged);
        await agent.stop();
      } finally {
        disk.remove();
      }
    },
  );

  it.skipIf(!mounts)(
    `full where standard error and the log file are${mounts ? '' : ' (skipped: mounting is not allowed)'}`,
    async () => {
      const disk = smallDisk(1);
      try {
        const stderr = join(disk.path, 'stderr.log');
        const logFile = join(disk.path, 'agent.json');
        const wrapped = join(folder, 'wrapped');
        writeFileSync(wrapped, `#!/bin/sh\nexec '${BINARY}' "$@" 2>>'${stderr}'\n`, { mode: 0o700 });
        const agent = await start(join(folder, 'stderr'), {
          binary: wrapped,
          config: { log_level: 'debug', log_file: logFile },
        });
        disk.fill();
        // Each reload is logged.
        for (let n = 0; n < 60; n += 1) await callAgent(agent, 'PUT', '/v1/agent/reload');
        const full = statSync(stderr).size;
        const logged = statSync(logFile).size;
        expect((await intend(agent, 'before')).status).toBe(200);
        disk.makeRoom();
        await callAgent(agent, 'PUT', '/v1/agent/reload');
        await waitFor(async () => statSync(stderr).size > full && statSync(logFile).size > logged, {
          what: 'lines on standard error and in the log file',
        });
        await agent.stop();
      } finally {
        disk.remove();
      }
    },
  );

  it.skipIf(!compiles)(`broken, or read-only${compiles ? '' : ' (skipped: no C compiler)'}`, async () => {
    const library = join(folder, 'broken-disk.so');
    execFileSync('cc', ['-shared', '-fPIC', '-O1', '-o', library, join(import.meta.dirname, 'broken-disk.c'), '-ldl']);
    const dataDir = join(folder, 'broken');
    const control = join(folder, 'switch');
    writeFileSync(control, '');
    const agent = await start(dataDir, {
      env: { LD_PRELOAD: library, BROKEN_DISK: dataDir, BROKEN_DISK_SWITCH: control },
    });
    await callAgent(agent, 'PUT', '/v1/agent/service/register', { Name: 'web', Port: 80 });
    expect((await intend(agent, 'before')).status).toBe(200);
    await callAgent(agent, 'GET', '/v1/agent/connect/ca/leaf/web');
    const fault = (name: string, how: string, text: string, allFiles = true): Fault => ({
      ...{ name, text, allFiles },
      begin: () => writeFileSync(control, how),
      end: () => writeFileSync(control, ''),
    });
    const fails = 'the disk fails or is full (input/output error)';
    const acknowledged: string[] = [];
    for (const each of [
      fault('failing', '5 all', fails),
      fault('failing in syncs', '5 sync', fails),
      fault('read only', '30 all', 'the file system is read-only'),
      fault('beyond its quota', '122 all', 'the disk quota is used up'),
      fault('failing in the first pages', '5 meta', fails, false),
      fault('failing again', '5 all', fails),
    ])
      acknowledged.push(...(await suffer(agent, each)));
    await expectKept(agent, acknowledged);
    await agent.stop();
  });
});

describe('a store that was there', () => {
  it('is never replaced by a new one', { timeout: 90_000 }, async () => {
    const dataDir = join(folder, 'gone');
    const agent = await start(dataDir);
    expect((await intend(agent, 'before')).status).toBe(200);
    await agent.stop();
    const data = join(dataDir, 'store', 'data.mdb');
    const saved = join(folder, 'saved.mdb');
    copyFileSync(data, saved);
    const foreign = join(folder, 'foreign');
    mkdirSync(foreign);
    await open({ path: foreign, noSubdir: false }).close();
    const damages: readonly (readonly [what: string, damage: () => void, text: string | RegExp])[] = [
      ['deleted', () => rmSync(data), 'is gone: data.mdb is missing'],
      [
        'deleted with its folder',
        () => rmSync(join(dataDir, 'store'), { recursive: true }),
        'is gone: data.mdb is missing',
      ],
      ['empty', () => writeFileSync(data, ''), 'is gone: data.mdb is empty'],
      ['cut off', () => truncateSync(data, 3 * 4_096), /the store in .* can't be (opened|read)/],
      ['cut to less than a page', () => truncateSync(data, 100), 'is not a store, or damaged'],
      ['something else', () => writeFileSync(data, 'x'.repeat(100_000)), 'is not a store, or damaged'],
      ['an empty database', () => copyFileSync(join(foreign, 'data.mdb'), data), 'is gone: its file holds nothing'],
    ];
    for (const [what, damage, text] of damages) {
      damage();
      const refused = await start(dataDir).then(
        async (started) => {
          await started.stop();
          return 'it started';
        },
        (error: Error) => error.message,
      );
      expect(refused, what).toMatch(text);
      expect(refused, what).not.toMatch(/ended with SIG/);
      rmSync(join(dataDir, 'store'), { recursive: true, force: true });
      mkdirSync(join(dataDir, 'store'), { mode: 0o700 });
      copyFileSync(saved, data);
    }
    const again = await start(dataDir);
    expect(await sources(again)).toEqual(['before']);
    await again.stop();
  });
});
