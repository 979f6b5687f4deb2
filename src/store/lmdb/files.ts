import {
  chmodSync,
  closeSync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  statSync,
  truncateSync,
} from 'node:fs';
import { join } from 'node:path';
import { open, type RootDatabase } from 'lmdb';
import { IsthmusError } from '../../lib/errors.ts';

const DATA_FILE = 'data.mdb';
const LOCK_FILE = 'lock.mdb';

/** An LMDB meta page: 24 bytes of page header, then magic, version, address (8), map size (8), page size. */
const HEADER_BYTES = 52;
const MAGIC_AT = 24;
const VERSION_AT = 28;
const PAGE_SIZE_AT = 48;
const MAGIC = 0xbeefc0de;
const VERSION = 2;

/** Opens the LMDB environment in the folder `path`, which is made when missing. Throws a text an operator can act on. */
export function openEnvironment(path: string, mapSizeMb: number): RootDatabase {
  prepareFolder(path);
  let root: RootDatabase;
  try {
    const options = {
      path,
      noSubdir: false, // else a dot in the path makes it a file
      // The default resolves before the data is on disk. Without it the writer thread calls fdatasync on the pages,
      // then writes the page that names the new tree through a descriptor opened with O_DSYNC, then resolves.
      overlappingSync: false,
      mapSize: mapSizeMb * 1024 * 1024, // where the map starts; it grows on its own
      maxDbs: 8,
      permissionsMode: 0o600,
    };
    root = open(options);
  } catch (error) {
    throw new IsthmusError('internal', `the store in ${path} can't be opened: ${reason(error)}`, { cause: error });
  }
  try {
    fillUp(root, path);
    for (const file of [DATA_FILE, LOCK_FILE]) chmodSync(join(path, file), 0o600);
    syncFolder(path);
  } catch (error) {
    void root.close().catch(() => undefined); // the first error is the one worth telling
    throw error;
  }
  return root;
}

function prepareFolder(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    const files = readdirSync(path).filter((name) => name !== 'lost+found');
    if (files.length > 0 && !files.includes(DATA_FILE)) {
      throw new IsthmusError('internal', `${path} holds other files (${files[0]}) and no store; name an empty folder`);
    }
    if (files.includes(DATA_FILE)) checkHeader(path);
    chmodSync(path, 0o700);
  } catch (error) {
    if (error instanceof IsthmusError) throw error;
    throw new IsthmusError('internal', `the store's folder ${path} can't be used: ${reason(error)}`, { cause: error });
  }
}

/** LMDB's wrapper ends the process on a file that is not LMDB's, so both meta pages are looked at first. */
function checkHeader(path: string): void {
  const file = openSync(join(path, DATA_FILE), 'r');
  try {
    if (fstatSync(file).size === 0) return; // a crash right after the file was made
    let at = 0;
    for (let page = 0; page < 2; page += 1) {
      const header = Buffer.alloc(HEADER_BYTES);
      readSync(file, header, 0, HEADER_BYTES, at);
      if (header.readUInt32LE(MAGIC_AT) !== MAGIC) {
        throw new IsthmusError('internal', `${DATA_FILE} in ${path} is not a store, or damaged`);
      }
      if (header.readUInt16LE(VERSION_AT) !== VERSION) {
        throw new IsthmusError('internal', `${DATA_FILE} in ${path} was written by another version of LMDB`);
      }
      at = header.readUInt32LE(PAGE_SIZE_AT);
    }
  } finally {
    closeSync(file);
  }
}

/**
 * Reading a page beyond the end of the file through the memory map would end the process with SIGBUS. Pages at the end
 * that were freed in the step that made them are never written, so a short file is no damage in itself: it is filled
 * up, and a page that really was cut off then reads as zeros, which LMDB reports. Under the write lock, so that no other
 * process grows the file meanwhile.
 */
function fillUp(root: RootDatabase, path: string): void {
  root.transactionSync(() => {
    const stats = root.getStats() as { readonly pageSize: number; readonly lastPageNumber: number };
    const least = (stats.lastPageNumber + 1) * stats.pageSize;
    const file = join(path, DATA_FILE);
    if (statSync(file).size < least) truncateSync(file, least);
  });
}

/** Makes new files survive a power cut: their names are data of the folder. */
function syncFolder(path: string): void {
  const folder = openSync(path, 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

/** An error's text for an operator. */
export function reason(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.includes('MDB_MAP_FULL') ? 'the store is full' : message;
}
