import { createReadStream } from 'node:fs';
import { open, readdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import type { SnapshotMetadata } from '../snapshot/format.ts';
import { openArchive } from '../snapshot/read.ts';

/** What a snapshot file holds. */
export interface SnapshotSummary {
  readonly metadata: SnapshotMetadata;
  /** Bytes of the file. */
  readonly fileSize: number;
  /** Bytes of all keys and values. */
  readonly size: number;
  /** The largest first. */
  readonly tables: readonly { readonly name: string; readonly count: number; readonly size: number }[];
}

/** Reads a snapshot file from end to end. Throws `rejected` when it is not whole. */
export async function summarize(path: string): Promise<SnapshotSummary> {
  const { metadata, pages } = await openArchive(createReadStream(path));
  const tables = new Map<string, { count: number; size: number }>();
  for await (const rows of pages) {
    for (const { key, value } of rows) {
      const name = key.slice(0, Math.max(0, key.indexOf('/')));
      const table = tables.get(name) ?? { count: 0, size: 0 };
      table.count += 1;
      table.size += Buffer.byteLength(key) + Buffer.byteLength(value);
      tables.set(name, table);
    }
  }
  const sorted = [...tables].map(([name, table]) => ({ name, ...table })).sort((a, b) => b.size - a.size);
  const size = sorted.reduce((sum, table) => sum + table.size, 0);
  return { metadata, fileSize: (await stat(path)).size, size, tables: sorted };
}

/**
 * Writes an archive to a file that only its owner can read, and reads it back. The name is there once the file is whole
 * and on disk; before, and when something fails, an older file of that name stays as it was. With `name`, `path` is the
 * folder for it.
 */
export async function writeSnapshot(
  path: string,
  archive: AsyncIterable<Uint8Array>,
  name?: (metadata: SnapshotMetadata) => string,
): Promise<SnapshotSummary> {
  const unfinished = name === undefined ? `${path}.unfinished-${process.pid}` : join(path, `unfinished-${process.pid}`);
  try {
    const file = await open(unfinished, 'wx', 0o600);
    try {
      for await (const chunk of archive) await file.writeFile(chunk); // appends
      await file.sync();
    } finally {
      await file.close();
    }
    const summary = await summarize(unfinished);
    const finished = name === undefined ? path : join(path, name(summary.metadata));
    await rename(unfinished, finished);
    await syncFolder(dirname(finished));
    return summary;
  } catch (error) {
    await rm(unfinished, { force: true });
    throw error;
  }
}

/** Makes a new name survive a power cut. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** The archive in a file, as an upload. */
export function readSnapshot(path: string): Readable {
  return Readable.from(createReadStream(path));
}

const NAME = /^isthmus-.+-(\d{8}T\d{6}Z)-\d+\.snap$/;

/** A name that sorts by time: `isthmus-dc1-20261125T080000Z-123.snap`. */
export function snapshotName({ Datacenter, Created, Index }: SnapshotMetadata): string {
  return `isthmus-${Datacenter}-${Created.slice(0, 19).replaceAll(/[-:]/g, '')}Z-${Index}.snap`;
}

/** Removes all but the newest `keep` files that {@link snapshotName} named; resolves with the names removed. */
export async function removeOld(folder: string, keep: number): Promise<readonly string[]> {
  const named = (await readdir(folder)).filter((name) => NAME.test(name));
  const time = (name: string): string => NAME.exec(name)?.[1] ?? '';
  named.sort((a, b) => (time(a) < time(b) ? 1 : -1));
  const old = named.slice(keep);
  for (const name of old) await rm(join(folder, name), { force: true });
  return old;
}
