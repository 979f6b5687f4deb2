import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { open } from 'lmdb';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeClock } from '../../../test/fakes/fake-clock.ts';
import type { IsthmusError } from '../../lib/errors.ts';
import type { Commit, Engine } from '../engine.ts';
import { type LmdbEngineOptions, openLmdbEngine } from './lmdb-engine.ts';

const run = promisify(execFile);

let folder: string;
let path: string;
let clock: FakeClock;
let engines: Engine[];
let errors: string[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'isthmus-lmdb-'));
  path = join(folder, 'data.v1', 'store'); // a dot, which LMDB's wrapper by default takes for a file name
  clock = new FakeClock();
  engines = [];
  errors = [];
});

afterEach(async () => {
  for (const engine of engines) await engine.close();
  await rm(folder, { recursive: true });
});

async function start(options: Partial<LmdbEngineOptions> = {}): Promise<Engine> {
  const onError = (what: string, error: IsthmusError): void => void errors.push(`${what}: ${error.message}`);
  const engine = await openLmdbEngine({ path, clock, onError, ...options });
  engines.push(engine);
  return engine;
}

const put = (engine: Engine, key: string, value = '1', lease?: string) =>
  engine.txn({ compare: [], ops: [{ type: 'put', key, value, ...(lease !== undefined && { lease }) }] });

async function take(engine: Engine, fromRevision: number, count: number): Promise<Commit[]> {
  const taken: Commit[] = [];
  const signal = new AbortController().signal;
  for await (const commit of engine.watch({ prefix: '', fromRevision, signal })) {
    taken.push(commit);
    if (taken.length === count) break;
  }
  return taken;
}

describe('over a restart', () => {
  it('keeps identity, revision, rows and history', async () => {
    const before = await start();
    await put(before, 'a', '1');
    await put(before, 'a', '2');
    await put(before, 'b', '1');
    const commits = await take(before, 1, 3);
    await before.compact(1);
    await before.close();
    const after = await start();
    expect(after.epoch).toBe(before.epoch);
    expect(await after.range({ prefix: '' })).toMatchObject({ revision: 3, rows: [{ value: '2' }, { value: '1' }] });
    expect(await take(after, 2, 2)).toEqual(commits.slice(1));
    await expect(take(after, 1, 1)).rejects.toMatchObject({ code: 'compacted' });
    expect((await after.range({ prefix: '', revision: 2 })).rows).toHaveLength(1);
    expect(await put(after, 'c')).toEqual({ succeeded: true, revision: 4 });
  });

  it('writes what was asked for before it closed', async () => {
    const before = await start();
    const writes = Array.from({ length: 1_500 }, (_, n) => put(before, `k${n}`));
    await before.close();
    expect((await Promise.all(writes)).map((result) => result.revision)).toContain(1_500);
    expect((await (await start()).range({ prefix: '' })).rows).toHaveLength(1_500);
  });

  it('gives leases their whole time again, then ends them', async () => {
    const before = await start();
    const lease = await before.grantLease(10_000);
    const gone = await before.grantLease(10_000);
    await put(before, 'a', '1', lease.id);
    await put(before, 'b', '1', gone.id);
    await put(before, 'c', '1', lease.id);
    await put(before, 'c', '2');
    await clock.advance(8_000);
    await before.revokeLease(gone.id);
    await before.close();
    const after = await start();
    await clock.advance(9_999);
    expect((await after.range({ prefix: '' })).rows.map((row) => row.key)).toEqual(['a', 'c']);
    const ended = take(after, 6, 1);
    await clock.advance(1);
    expect((await ended)[0]?.changes).toEqual([{ type: 'delete', key: 'a', modRevision: 6 }]);
    await after.close();
    const last = await start();
    await expect(last.keepLease(lease.id)).rejects.toMatchObject({ code: 'not_found' });
  });
});

describe('a restore', () => {
  async function* rows(count: number, value: string): AsyncGenerator<{ key: string; value: string }[], void, void> {
    for (let n = 0; n < count; n += 100) {
      yield Array.from({ length: 100 }, (_, k) => ({ key: `k${String(n + k).padStart(6, '0')}`, value }));
    }
  }

  it('is kept over restarts, one after the other', async () => {
    let engine = await start();
    await put(engine, 'a');
    for (const [round, above] of [0, 50, 10].entries()) {
      const done = await engine.restore(rows(200, `"${round}"`), { above });
      await engine.close();
      engine = await start();
      expect(engine.epoch).toBe(done.epoch);
      const { rows: held, revision } = await engine.range({ prefix: '' });
      expect(revision).toBe(done.revision);
      expect(held).toHaveLength(200);
      for (const row of held) expect(row).toMatchObject({ value: `"${round}"`, createRevision: revision });
      await expect(take(engine, revision, 1)).rejects.toMatchObject({ code: 'compacted' });
      expect(await put(engine, 'a')).toEqual({ succeeded: true, revision: revision + 1 });
      expect((await engine.range({ prefix: '', revision })).rows).toHaveLength(200);
    }
  });

  it('that was cut off leaves nothing behind', async () => {
    const before = await start();
    await put(before, 'a');
    const root = open({ path, noSubdir: false });
    await root.openDB('rows2', { encoding: 'msgpack', keyEncoding: 'binary' }).put(Buffer.from('b'), [0, 0, '1']);
    await root.close();
    await before.close();
    const after = await start();
    await after.restore(rows(100, '1'), { above: 0 });
    expect((await after.range({ prefix: '' })).rows).toHaveLength(100);
  });

  it('is what a program of the format before must not read; until then it may', async () => {
    const format = async (): Promise<[format: unknown, databases: unknown[]]> => {
      const root = open({ path, noSubdir: false });
      const found: [unknown, unknown[]] = [root.openDB('meta', {}).get('format'), [...root.getKeys()]];
      await root.close();
      return found;
    };
    const first = await start();
    await put(first, 'a');
    await first.close();
    expect(await format()).toEqual([1, ['history', 'leased', 'leases', 'meta', 'rows']]);
    const engine = await start();
    await engine.restore(rows(100, '1'), { above: 0 });
    await engine.close();
    expect(await format()).toEqual([2, ['history', 'leased', 'leases', 'meta', 'rows', 'rows2']]);
  });

  it('does not touch what a snapshot holds, also while the file grows; closing ends the snapshot', async () => {
    const engine = await start({ mapSizeMb: 1 });
    const value = JSON.stringify('x'.repeat(1_000));
    await engine.restore(rows(2_000, value), { above: 0 });
    let seen = 0;
    const signal = new AbortController().signal;
    for await (const page of engine.snapshot(signal)) {
      if (seen === 0) await engine.restore(rows(20_000, '"y"'), { above: 0 });
      for (const row of page.rows) expect(row.value).toBe(value);
      seen += page.rows.length;
      expect(page.revision).toBe(1);
    }
    expect(seen).toBe(2_000);
    const held = engine.snapshot(signal)[Symbol.asyncIterator]();
    await held.next();
    await engine.close();
    await expect(held.next()).rejects.toMatchObject({ code: 'unavailable' });
  });
});

describe('history', () => {
  it('is kept for the newest revisions only', async () => {
    const engine = await start({ keepRevisions: 50 });
    for (let n = 0; n < 4; n += 1) await Promise.all(Array.from({ length: 100 }, (_, k) => put(engine, `k${k}`)));
    const oldest = await take(engine, 1, 1).then(
      () => 1,
      (error: IsthmusError) => error.details.revision as number,
    );
    expect(oldest).toBeGreaterThan(400 - 50 - 50);
    expect(oldest).toBeLessThanOrEqual(400 - 50 + 1);
    expect((await engine.range({ prefix: '', revision: oldest - 1 })).rows).toHaveLength(100);
    await engine.close();
    const commits = open({ path, noSubdir: false, readOnly: true }).openDB('history', {});
    expect(commits.getKeysCount()).toBe(400 - oldest + 1);
    await commits.close();
  });

  it('is forgotten in small steps between which others write', async () => {
    const engine = await start();
    await Promise.all(Array.from({ length: 2_000 }, (_, n) => put(engine, `k${n % 10}`)));
    const order: string[] = [];
    const compacted = engine.compact(1_999).then(() => order.push('compacted'));
    const written = engine.range({ prefix: '' }).then(async () => {
      await put(engine, 'x');
      order.push('written');
    });
    await Promise.all([compacted, written]);
    expect(order).toEqual(['written', 'compacted']);
    expect((await take(engine, 2_000, 2)).map((commit) => commit.revision)).toEqual([2_000, 2_001]);
  });
});

describe('files', () => {
  it('are for their owner only', async () => {
    await start();
    expect((await stat(path)).mode & 0o777).toBe(0o700);
    for (const file of ['data.mdb', 'lock.mdb']) expect((await stat(join(path, file))).mode & 0o777).toBe(0o600);
  });

  it('grow beyond where the map starts', async () => {
    const engine = await start({ mapSizeMb: 1 });
    const value = JSON.stringify('x'.repeat(100_000));
    await Promise.all(Array.from({ length: 100 }, (_, n) => put(engine, `k${n}`, value)));
    expect((await engine.range({ prefix: 'k99' })).rows[0]?.value).toBe(value);
    expect((await stat(join(path, 'data.mdb'))).size).toBeGreaterThan(10_000_000);
  });

  it('must be a store or an empty folder', async () => {
    await mkdir(path, { recursive: true });
    await writeFile(join(path, 'notes.txt'), 'mine');
    await expect(start()).rejects.toThrow(`${path} holds other files (notes.txt) and no store`);
    await rm(join(path, 'notes.txt'));
    await writeFile(join(path, 'data.mdb'), 'not a store at all'.repeat(1_000));
    const damaged = `data.mdb in ${path} is not a store, or damaged`;
    await expect(start()).rejects.toThrow(damaged);
    await writeFile(join(path, 'data.mdb'), 'short');
    await expect(start()).rejects.toThrow(damaged);
    await writeFile(join(path, 'data.mdb'), '');
    await (await start()).close();
    await truncate(join(path, 'data.mdb'), 5_000);
    await expect(start()).rejects.toMatchObject({ code: 'internal' });
    const file = join(folder, 'file');
    await writeFile(file, '');
    await expect(start({ path: file })).rejects.toThrow(`the store's folder ${file} can't be used`);
  });

  it("must not be another program's database, nor of a newer format", async () => {
    const foreign = open({ path, noSubdir: false });
    await foreign.put('theirs', 1);
    await foreign.close();
    await expect(start()).rejects.toThrow(`${path} holds an LMDB database of something else`);
    await rm(path, { recursive: true });
    await (await start()).close();
    const root = open({ path, noSubdir: false });
    await root.openDB('meta', {}).put('format', 3);
    await root.openDB('of a newer version', {}).put('a', 1);
    await root.close();
    await expect(start()).rejects.toThrow(`the store in ${path} has format 3 and this version reads up to 2: it was`);
  });

  it('that were cut off are an error, no crash', async () => {
    const engine = await start();
    await Promise.all(Array.from({ length: 2_000 }, (_, n) => put(engine, `key${n}`, '"some value"')));
    await engine.close();
    await truncate(join(path, 'data.mdb'), 16 * 4096);
    const read = async (): Promise<unknown> => (await start()).range({ prefix: '' });
    await expect(read()).rejects.toMatchObject({ code: 'internal' });
  });
});

describe('one process at a time', () => {
  it('refuses a second opening, which does no harm to the first', async () => {
    const first = await start();
    await expect(start()).rejects.toThrow(`the store in ${path} is already open in this process; stop that one first`);
    expect(await put(first, 'a')).toEqual({ succeeded: true, revision: 1 });
    expect((await first.range({ prefix: '' })).rows).toHaveLength(1);
  });

  it('names the process that has it open, and takes over from one that is gone', async () => {
    await (await start()).close();
    const root = open({ path, noSubdir: false });
    const meta = root.openDB('meta', {});
    await meta.put('owner', { pid: 1, started: '', token: 'x' });
    await expect(start()).rejects.toThrow('already open in process 1');
    const { stdout } = await run(process.execPath, ['-p', 'process.pid']);
    await meta.put('owner', { pid: Number(stdout), started: '', token: 'x' });
    await (await start()).close();
    // The same process id, but of a process that started at another time.
    await meta.put('owner', { pid: process.pid, started: 'another boot/1', token: 'x' });
    const engine = await start();
    expect(await put(engine, 'a')).toEqual({ succeeded: true, revision: 1 });
    // Whoever lost the store must not write, nor clear the other's mark.
    await meta.put('owner', { pid: 1, started: '', token: 'y' });
    await expect(put(engine, 'b')).rejects.toMatchObject({ code: 'unavailable' });
    await engine.close();
    expect(meta.get('owner')).toEqual({ pid: 1, started: '', token: 'y' });
    await root.close();
  });
});
