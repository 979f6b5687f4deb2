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
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { open, type RootDatabase } from 'lmdb';
import { IsthmusError } from '../../lib/errors.ts';
import { reason } from './failure.ts';

export const DATA_FILE = 'data.mdb';
const LOCK_FILE = 'lock.mdb';
/** Written to find out whether the disk works; holds nothing. */
export const PROBE_FILE = 'probe';
/** Beside a store that is missing, these are no reason to think that the folder is something else's. */
const NO_DATA: readonly string[] = ['lost+found', PROBE_FILE];

/** An LMDB meta page: 24 bytes of page header, then magic, version, address (8), map size (8), page size. */
const HEADER_BYTES = 52;
const MAGIC_AT = 24;
const VERSION_AT = 28;
const PAGE_SIZE_AT = 48;
const MAGIC = 0xbeefc0de;
const VERSION = 2;

/**
 * Opens the LMDB environment in the folder `path`, which is made when missing. Throws a text an operator can act on.
 * @param onNothing called, with what is so, before an empty environment is made; may throw
 */
export function openEnvironment(path: string, mapSizeMb: number, onNothing: (what: string) => void): RootDatabase {
  prepareFolder(path, onNothing);
  let root: RootDatabase;
  try {
    const options = {
      path,
      noSubdir: false, // else a dot in the path makes it a file
      // The default resolves before the data is on disk. Without it the writer thread calls fdatasync on the pages,
      // then writes the page that names the new tree through a descriptor opened with O_DSYNC, then resolves.
      overlappingSync: false,
      eventTurnBatching: false, // a batch has a promise that no caller gets: its rejection would end the process
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

function prepareFolder(path: string, onNothing: (what: string) => void): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    const files = readdirSync(path).filter((name) => !NO_DATA.includes(name));
    const file = statSync(join(path, DATA_FILE), { throwIfNoEntry: false });
    if (file === undefined) onNothing(`${DATA_FILE} is missing`);
    else if (file.size === 0) onNothing(`${DATA_FILE} is empty`);
    if (files.length > 0 && file === undefined) {
      throw new IsthmusError('internal', `${path} holds other files (${files[0]}) and no store; name an empty folder`);
    }
    if (file !== undefined) checkHeader(path);
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
 * up, and a page that really was cut off then reads as zeros, which LMDB reports. Under the write lock, so that no
 * other process grows the file meanwhile.
 */
function fillUp(root: RootDatabase, path: string): void {
  root.transactionSync(() => {
    const stats = root.getStats() as { readonly pageSize: number; readonly lastPageNumber: number };
    const least = (stats.lastPageNumber + 1) * stats.pageSize;
    const file = join(path, DATA_FILE);
    if (statSync(file).size < least) truncateSync(file, least);
  });
}

/**
 * Gives the whole lock file its blocks: it is written through a memory map, where a block that can't be had ends the
 * process with SIGBUS. By the store's owner only, between its transactions.
 *
 * @returns the open file, to be closed after the environment: a process that closes any descriptor of a file loses its
 * locks on it, and the next process that opens the store would take it for unused, and make its mutexes anew under this
 * one
 */
export function claimLockFile(path: string): number {
  const file = openSync(join(path, LOCK_FILE), 'r+');
  const bytes = Buffer.alloc(fstatSync(file).size);
  for (let at = 0; at < bytes.length; ) {
    const length = readSync(file, bytes, at, bytes.length - at, at);
    if (length === 0) break;
    at += length;
  }
  for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at, bytes.length - at, at);
  return file;
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
