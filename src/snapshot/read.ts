import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { IsthmusError } from '../lib/errors.ts';
import {
  FORMAT,
  MAX_FILE_BYTES,
  METADATA_FILE,
  type SnapshotMetadata,
  type StateRow,
  SUMS_FILE,
  stateFile,
} from './format.ts';
import { damaged, readTar, type TarFile } from './tar.ts';

export interface OpenedArchive {
  readonly metadata: SnapshotMetadata;
  /**
   * The rows in key order. Only once it has ended without an error, the archive is known to be whole: the sums come
   * last. Fails with `rejected` when it is not, or with the error of its source.
   */
  readonly pages: AsyncIterable<readonly StateRow[]>;
}

/** Opens an archive that comes from anywhere. Throws `rejected` when it is no snapshot that this version can read. */
export async function openArchive(source: AsyncIterable<Uint8Array>): Promise<OpenedArchive> {
  const files = readTar(unzip(source), MAX_FILE_BYTES);
  const first = await files.next();
  if (first.done === true) throw damaged('it is empty');
  const metadata = readMetadata(first.value);
  return { metadata, pages: readPages(files, first.value) };
}

async function* unzip(source: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer, void, void> {
  let broken: unknown;
  const watched = (async function* () {
    try {
      yield* source;
    } catch (error) {
      broken = error;
      throw error;
    }
  })();
  const gunzip = createGunzip();
  const done = pipeline(Readable.from(watched, { objectMode: false }), gunzip);
  done.catch(() => undefined); // whoever reads `gunzip` gets it
  try {
    yield* gunzip as AsyncIterable<Buffer>;
  } catch (error) {
    if (broken !== undefined) throw IsthmusError.from(broken);
    throw damaged(`${error instanceof Error ? error.message : String(error)} (gzip)`, error);
  } finally {
    gunzip.destroy();
  }
}

function readMetadata({ name, data }: TarFile): SnapshotMetadata {
  if (name === 'meta.json' || name === 'state.bin')
    throw new IsthmusError(
      'rejected',
      'this is a snapshot of another program: only those that isthmus wrote can be read',
    );
  if (name !== METADATA_FILE) throw damaged(`it begins with ${JSON.stringify(name)} and not with ${METADATA_FILE}`);
  let metadata: Partial<SnapshotMetadata>;
  try {
    metadata = JSON.parse(data.toString('utf8')) as Partial<SnapshotMetadata>;
  } catch (error) {
    throw damaged(`${METADATA_FILE} is not JSON`, error);
  }
  if (metadata.Format !== FORMAT)
    throw new IsthmusError(
      'rejected',
      `the snapshot has format ${JSON.stringify(metadata.Format)}, written by version ` +
        `${metadata.ProgramVersion ?? 'unknown'}; ` +
        `this version reads format ${FORMAT}`,
    );
  const texts = ['ID', 'Datacenter', 'PrimaryDatacenter', 'TrustDomain', 'Epoch', 'Created', 'PrivateKeys'] as const;
  for (const field of texts) if (typeof metadata[field] !== 'string') throw damaged(`${METADATA_FILE} lacks ${field}`);
  if (!Number.isSafeInteger(metadata.Index) || Number.isNaN(Date.parse(metadata.Created as string)))
    throw damaged(`${METADATA_FILE} lacks Index or Created`);
  return metadata as SnapshotMetadata;
}

async function* readPages(
  files: AsyncGenerator<TarFile, void, void>,
  metadata: TarFile,
): AsyncGenerator<readonly StateRow[], void, void> {
  const sums = [sumOf(metadata)];
  let done = false;
  for await (const file of files) {
    if (done) throw damaged(`${JSON.stringify(file.name)} follows ${SUMS_FILE}`);
    if (file.name === SUMS_FILE) {
      checkSums(file.data.toString('utf8'), sums);
      done = true;
      continue;
    }
    const expected = stateFile(sums.length);
    if (file.name !== expected) throw damaged(`${JSON.stringify(file.name)} stands where ${expected} was expected`);
    sums.push(sumOf(file));
    yield readRows(file);
  }
  if (!done) throw damaged(`${SUMS_FILE} is missing`);
}

function sumOf({ name, data }: TarFile): string {
  return `${createHash('sha256').update(data).digest('hex')}  ${name}`;
}

function checkSums(text: string, sums: readonly string[]): void {
  const stated = text.trimEnd().split('\n');
  const wrong = sums.findIndex((sum, index) => stated[index] !== sum);
  if (wrong >= 0) throw damaged(`the SHA-256 of ${sums[wrong]?.slice(66)} does not match`);
  if (stated.length !== sums.length)
    throw damaged(`${SUMS_FILE} names ${stated.length} files and it has ${sums.length}`);
}

function readRows({ name, data }: TarFile): StateRow[] {
  const rows: StateRow[] = [];
  for (const line of data.toString('utf8').split('\n')) {
    if (line === '') continue;
    let row: unknown;
    try {
      row = JSON.parse(line);
    } catch (error) {
      throw damaged(`a line of ${name} is not JSON`, error);
    }
    const [key, value] = Array.isArray(row) ? row : [];
    if (typeof key !== 'string' || typeof value !== 'string') throw damaged(`a line of ${name} is not a row`);
    rows.push({ key, value });
  }
  return rows;
}
