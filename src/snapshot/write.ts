import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { METADATA_FILE, type SnapshotMetadata, type StateRow, SUMS_FILE, stateFile } from './format.ts';
import { TAR_END, tarFile } from './tar.ts';

/** The archive, piece by piece, as fast as it is read: holds one page at a time. Fails when `pages` does. */
export async function* writeArchive(
  metadata: SnapshotMetadata,
  pages: AsyncIterable<readonly StateRow[]>,
): AsyncGenerator<Buffer, void, void> {
  const gzip = createGzip();
  const packed = pipeline(Readable.from(pack(metadata, pages), { objectMode: false }), gzip);
  packed.catch(() => undefined); // whoever reads `gzip` gets it
  try {
    yield* gzip as AsyncIterable<Buffer>;
  } finally {
    gzip.destroy(); // left half-way: ends the reading of the pages too
  }
}

async function* pack(
  metadata: SnapshotMetadata,
  pages: AsyncIterable<readonly StateRow[]>,
): AsyncGenerator<Buffer, void, void> {
  const mtime = Math.trunc(Date.parse(metadata.Created) / 1_000);
  const sums: string[] = [];
  const file = (name: string, data: Buffer): Buffer => {
    sums.push(`${createHash('sha256').update(data).digest('hex')}  ${name}\n`);
    return tarFile(name, data, mtime);
  };
  yield file(METADATA_FILE, Buffer.from(`${JSON.stringify(metadata, null, 2)}\n`));
  let number = 0;
  for await (const rows of pages) {
    if (rows.length === 0) continue;
    number += 1;
    const lines = rows.map(({ key, value }) => `${JSON.stringify([key, value])}\n`);
    yield file(stateFile(number), Buffer.from(lines.join('')));
  }
  yield tarFile(SUMS_FILE, Buffer.from(sums.join('')), mtime);
  yield TAR_END;
}
