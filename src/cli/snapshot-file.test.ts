import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { recordings } from '../../test/fakes/golden.ts';
import { systemClock } from '../lib/clock.ts';
import { FORMAT, type SnapshotMetadata, type StateRow } from '../snapshot/format.ts';
import { writeArchive } from '../snapshot/write.ts';
import { startChild } from './child.ts';
import { COMMANDS } from './commands.ts';
import { runCli } from './run.ts';
import { removeOld, snapshotName, writeSnapshot } from './snapshot-file.ts';

const METADATA: SnapshotMetadata = {
  Format: FORMAT,
  ID: 'dc1-35-1795400289092',
  Datacenter: 'dc1',
  PrimaryDatacenter: 'dc1',
  TrustDomain: 'd8bf9c5b.consul',
  Node: 'server1',
  ProgramVersion: '0.1.0',
  Index: 35,
  Epoch: 'e',
  Created: '2026-11-24T10:20:30.000Z',
  PrivateKeys: 'sealed',
};
const ROWS: StateRow[] = [
  { key: 'checks/a', value: 'x'.repeat(100) },
  { key: 'nodes/a', value: 'x'.repeat(3_700) },
  { key: 'nodes/b', value: 'x'.repeat(100) },
];

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'isthmus-file-'));
});
afterEach(() => rm(folder, { recursive: true }));

async function* archive(): AsyncGenerator<Buffer, void, void> {
  const pages = (async function* () {
    yield ROWS;
  })();
  yield* writeArchive(METADATA, pages);
}

async function inspect(...args: string[]): Promise<{ status: number; out: string; err: string }> {
  let [out, err] = ['', ''];
  const status = await runCli(['snapshot', 'inspect', ...args], COMMANDS, {
    out: (text) => (out += text),
    err: (text) => (err += text),
    env: {},
    readFile: () => '',
    readBytes: () => Buffer.alloc(0),
    readStdinBytes: async () => Buffer.alloc(0),
    startChild,
    listFiles: () => [],
    exists: () => false,
    createFile: () => undefined,
    readStdin: async () => '',
    outIsTerminal: false,
    errIsTerminal: false,
    outWidth: () => 80,
    clock: systemClock,
    stopSignal: () => new AbortController().signal,
  });
  return { status, out, err };
}

describe('snapshot inspect', () => {
  it("shows Consul's lines first, then what is ours", async () => {
    const path = join(folder, 'x.snap');
    await writeSnapshot(path, archive());
    const { status, out } = await inspect(path);
    expect(status).toBe(0);
    const lines = out.split('\n');
    expect(lines.slice(0, 5)).toEqual([
      'ID            dc1-35-1795400289092',
      'Size          3922',
      'Index         35',
      'Term          0',
      'Version       1',
    ]);
    expect(lines.slice(lines.indexOf('') + 2)).toEqual([
      ' Type                        Count      Size       ',
      ' ----                        ----       ----       ',
      ' nodes                       2          3.7KB      ',
      ' checks                      1          108B       ',
      ' ----                        ----       ----       ',
      ' Total                                  3.8KB      ',
      '',
    ]);
    const recorded = recordings('cli.json') as unknown as {
      readonly args: readonly string[];
      readonly stdout: string;
    }[];
    const theirs = recorded.find(({ args }) => args.join(' ').startsWith('snapshot inspect'))?.stdout.split('\n') ?? [];
    const labels = (all: readonly string[]): string[] => all.slice(0, 5).map((line) => line.split(' ')[0] ?? '');
    expect(labels(theirs)).toEqual(labels(lines));
    for (const heading of [' Type  ', ' ----  '])
      expect(lines.find((line) => line.startsWith(heading))).toBe(theirs.find((line) => line.startsWith(heading)));
    const json = JSON.parse((await inspect('-format', 'json', path)).out);
    expect(json).toMatchObject({ Meta: METADATA, TotalSize: 3922, Stats: [{ Name: 'nodes', Count: 2 }, {}] });
  });

  it('refuses what is not whole, and says so', async () => {
    const path = join(folder, 'x.snap');
    await writeSnapshot(path, archive());
    await writeFile(path, (await readFile(path)).subarray(0, 300));
    const { status, err } = await inspect(path);
    expect([status, err]).toEqual([1, expect.stringMatching(/^Error reading snapshot: the snapshot is damaged: /)]);
  });
});

describe('a snapshot file', () => {
  it('is for its owner, and there only once it is whole', async () => {
    const path = join(folder, 'x.snap');
    await writeFile(path, 'the last one');
    const broken = (async function* () {
      yield Buffer.from('half');
      throw new Error('the connection broke');
    })();
    await expect(writeSnapshot(path, broken)).rejects.toThrow('the connection broke');
    const short = (async function* () {
      for await (const chunk of archive()) yield chunk.subarray(0, 100);
    })();
    await expect(writeSnapshot(path, short)).rejects.toMatchObject({ code: 'rejected' });
    expect(await readFile(path, 'utf8')).toBe('the last one');
    expect(await readdir(folder)).toEqual(['x.snap']);
    await writeSnapshot(path, archive());
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  it('can be named by its time; of those the newest are kept, and nothing else is touched', async () => {
    await writeSnapshot(folder, archive(), snapshotName);
    const own = 'isthmus-dc1-20261124T102030Z-35.snap';
    for (const name of ['isthmus-dc-9-20261124T102029Z-34.snap', 'isthmus-dc1-20251124T102030Z-99.snap', 'a.snap'])
      await writeFile(join(folder, name), '');
    expect(await removeOld(folder, 2)).toEqual(['isthmus-dc1-20251124T102030Z-99.snap']);
    expect((await readdir(folder)).sort()).toEqual(['a.snap', 'isthmus-dc-9-20261124T102029Z-34.snap', own]);
  });
});
