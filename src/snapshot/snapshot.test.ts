import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gunzipSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { IsthmusError } from '../lib/errors.ts';
import { FORMAT, type SnapshotMetadata, type StateRow } from './format.ts';
import { openArchive } from './read.ts';
import { TAR_END, tarFile } from './tar.ts';
import { writeArchive } from './write.ts';

const run = promisify(execFile);

const METADATA: SnapshotMetadata = {
  Format: FORMAT,
  ID: 'dc1-35-1795400289092',
  Datacenter: 'dc1',
  PrimaryDatacenter: 'dc1',
  TrustDomain: 'd8bf9c5b-7b8c-4a4c-8b0c-2c2e7f1f7a51.consul',
  Node: 'server1',
  ProgramVersion: '0.1.0',
  Index: 35,
  Epoch: '8a2f6f3c-7a9c-4f0e-9a63-0b1f5a6c7d8e',
  Created: '2026-11-24T10:00:00.000Z',
  PrivateKeys: 'clear',
};

async function* pagesOf(...pages: StateRow[][]): AsyncGenerator<StateRow[], void, void> {
  yield* pages;
}

async function archiveOf(metadata: SnapshotMetadata, ...pages: StateRow[][]): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of writeArchive(metadata, pagesOf(...pages))) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function* inPieces(archive: Buffer, size: number): AsyncGenerator<Buffer, void, void> {
  for (let at = 0; at < archive.length; at += size) yield archive.subarray(at, at + size);
}

async function readAll(archive: Buffer, piece = 1_000): Promise<{ metadata: SnapshotMetadata; rows: StateRow[] }> {
  const { metadata, pages } = await openArchive(inPieces(archive, piece));
  const rows: StateRow[] = [];
  for await (const page of pages) rows.push(...page);
  return { metadata, rows };
}

const ROWS: StateRow[] = [
  { key: 'nodes/a', value: '{"Node":"a"}' },
  { key: 'nodes/b\n', value: '{"Node":"ü😀\\n"}' },
];

describe('an archive', () => {
  it('gives back what was written, whatever the rows and the pieces are', async () => {
    const row = fc.record({ key: fc.string({ unit: 'grapheme' }), value: fc.string({ unit: 'grapheme' }) });
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(row, { maxLength: 5 }), { maxLength: 5 }),
        fc.nat(2_000),
        async (pages, piece) => {
          const archive = await archiveOf(METADATA, ...pages);
          expect(await readAll(archive, piece + 1)).toEqual({ metadata: METADATA, rows: pages.flat() });
        },
      ),
      { numRuns: 50 },
    );
  });

  it('keeps what a later version of the same format says of itself', async () => {
    const later = { ...METADATA, Later: { a: 1 } };
    expect((await readAll(await archiveOf(later, ROWS))).metadata).toEqual(later);
  });

  it('can be read and checked with tar and sha256sum', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'isthmus-archive-'));
    await writeFile(join(folder, 'x.tgz'), await archiveOf(METADATA, ROWS, [{ key: 'z', value: 'x'.repeat(5_000) }]));
    await run('tar', ['-xzf', 'x.tgz'], { cwd: folder });
    const { stdout } = await run('sha256sum', ['-c', 'SHA256SUMS'], { cwd: folder });
    expect(stdout).toBe('metadata.json: OK\nstate/00000001.jsonl: OK\nstate/00000002.jsonl: OK\n');
    expect(JSON.parse(await readFile(join(folder, 'metadata.json'), 'utf8'))).toEqual(METADATA);
    await rm(folder, { recursive: true });
  });

  it('fails when the pages do, and ends them when it is left half-way', async () => {
    const failing = (async function* (): AsyncGenerator<StateRow[], void, void> {
      yield ROWS;
      throw new IsthmusError('unavailable', 'the store is closed');
    })();
    const whole = async (): Promise<void> => {
      for await (const _chunk of writeArchive(METADATA, failing));
    };
    await expect(whole()).rejects.toMatchObject({ code: 'unavailable' });
    let ended = false;
    let pages = 0;
    const endless = (async function* (): AsyncGenerator<StateRow[], void, void> {
      try {
        for (;;) {
          pages += 1;
          yield Array.from({ length: 100 }, (_, n) => ({ key: `${n}`, value: `${Math.random()}`.repeat(50) }));
        }
      } finally {
        ended = true;
      }
    })();
    for await (const _chunk of writeArchive(METADATA, endless)) break;
    await new Promise((resolve) => setImmediate(resolve));
    expect(ended).toBe(true);
    expect(pages).toBeLessThan(50);
  });
});

describe('what is not a whole archive of this format', () => {
  const files = (...each: [name: string, text: string][]): Buffer =>
    gzipSync(Buffer.concat([...each.map(([name, text]) => tarFile(name, Buffer.from(text), 0)), TAR_END]));
  const metadata = JSON.stringify(METADATA);

  it('is refused however it is cut off', async () => {
    const archive = await archiveOf(METADATA, ROWS, ROWS);
    for (let length = 0; length < archive.length; length += 7) {
      await expect(readAll(archive.subarray(0, length)), `${length} bytes`).rejects.toMatchObject({ code: 'rejected' });
    }
    const tar = gunzipSync(archive);
    for (let length = 0; length < tar.length - 512; length += 256) {
      const cut = gzipSync(tar.subarray(0, length));
      await expect(readAll(cut), `${length} bytes of tar`).rejects.toMatchObject({ code: 'rejected' });
    }
  });

  it('is refused whichever byte was changed, unless the byte means nothing', async () => {
    const tar = gunzipSync(await archiveOf(METADATA, ROWS));
    const meant = { metadata: METADATA, rows: ROWS };
    let refused = 0;
    for (let at = 0; at < tar.length; at += 1) {
      const changed = Buffer.from(tar);
      changed[at] = (changed[at] as number) ^ 0x41;
      try {
        expect(await readAll(gzipSync(changed)), `byte ${at}`).toEqual(meant); // it only filled up a block
      } catch (error) {
        expect(error, `byte ${at}`).toMatchObject({ code: 'rejected' });
        refused += 1;
      }
    }
    expect(refused).toBeGreaterThan(tar.filter((byte) => byte !== 0).length - 20);
  });

  it.each([
    ['no gzip', Buffer.from('hello'), /is damaged: .*\(gzip\)/],
    ['no tar', gzipSync(Buffer.alloc(2_000, 1)), /is damaged: it is not a tar archive/],
    ['nothing', gzipSync(TAR_END), /is damaged: it is empty/],
    ['no metadata first', files(['state/00000001.jsonl', '']), /begins with "state/],
    ["Consul's", files(['meta.json', '{}']), /a snapshot of another program/],
    [
      'an older format',
      files(['metadata.json', '{"Format":0,"ProgramVersion":"0.0.9"}']),
      /has format 0, written by version 0.0.9/,
    ],
    [
      'a newer format',
      files(['metadata.json', '{"Format":2}']),
      /has format 2, written by version unknown; this version reads/,
    ],
    ['metadata that is no JSON', files(['metadata.json', '{']), /metadata.json is not JSON/],
    ['metadata with gaps', files(['metadata.json', '{"Format":1}']), /metadata.json lacks ID/],
    ['no sums', files(['metadata.json', metadata]), /SHA256SUMS is missing/],
    [
      'a state file left out',
      files(['metadata.json', metadata], ['state/00000002.jsonl', '']),
      /"state\/00000002.jsonl" stands where/,
    ],
    ['a file of another name', files(['metadata.json', metadata], ['../../etc/passwd', '']), /passwd" stands where/],
    [
      'sums of fewer files',
      files(['metadata.json', metadata], ['SHA256SUMS', '']),
      /the SHA-256 of metadata.json does not match/,
    ],
    ['lines that are no rows', files(['metadata.json', metadata], ['state/00000001.jsonl', '["a"]\n']), /is not a row/],
    ['something behind its end', gzipSync(Buffer.concat([TAR_END, Buffer.from('x')])), /is damaged/],
  ])('such as %s', async (_name, archive, text) => {
    await expect(readAll(archive)).rejects.toThrow(text);
    await expect(readAll(archive)).rejects.toMatchObject({ code: 'rejected' });
  });

  it('with a file too large to hold is refused before it is read', async () => {
    const header = tarFile('metadata.json', Buffer.alloc(0), 0).subarray(0, 512);
    header.write('77777777777', 124);
    const sum = header.fill(0x20, 148, 156).reduce((total, byte) => total + byte, 0);
    header.write(`${sum.toString(8).padStart(6, '0')}\u0000 `, 148, 'latin1');
    await expect(readAll(gzipSync(header))).rejects.toThrow(/has 8589934591 bytes; at most/);
  });

  it('keeps the error of its source', async () => {
    const source = (async function* (): AsyncGenerator<Buffer, void, void> {
      yield (await archiveOf(METADATA, ROWS)).subarray(0, 100);
      throw new IsthmusError('cancelled', 'the caller went away');
    })();
    const read = async (): Promise<void> => {
      const { pages } = await openArchive(source);
      for await (const _page of pages);
    };
    await expect(read()).rejects.toMatchObject({ code: 'cancelled' });
  });
});
