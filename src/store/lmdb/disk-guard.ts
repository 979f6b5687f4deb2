import { close, fdatasync, fstatSync, openSync, statfsSync, write, writeSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { RootDatabase } from 'lmdb';
import { DATA_FILE, PROBE_FILE } from './files.ts';

const writeTo = promisify(write);
const sync = promisify(fdatasync);
const closeFile = promisify(close);

/** Left free on the file system, bytes: what others write meanwhile, and copies made by a copy-on-write one. */
const FREE = 4 * 1024 * 1024;
/** The data file grows by so much at once, bytes, at least. */
const STEP = 1024 * 1024;
/** Pages that a transaction takes whatever it writes: the ways to the leaves of each table, lists of free pages. */
const BASE = 256 * 1024;

/**
 * Finds out in front of each transaction whether the disk takes it. LMDB must not find out first: lmdb 3.5.6 writes the
 * text about a page that could not be written over the end of its buffer, which ends the process now and then. A write
 * to a file beside the store finds a file system that fails or has become read-only; room that the data file has
 * already finds a full one, a quota and a limit of file sizes. A sync that fails needs no guard: LMDB reports it.
 */
export class DiskGuard {
  readonly #path: string;
  readonly #block = Buffer.alloc(512);
  #probe: number | undefined;
  #data: number | undefined;
  /** Bytes of the data file that are surely written and not in use. */
  #room = 0;
  /** True after a failure: the disk must take a sync too, before it is used again. */
  #doubtful = false;

  constructor(path: string) {
    this.#path = path;
  }

  /** Throws the disk's error when it would not take a transaction of `cost` bytes. */
  async ready(root: RootDatabase | undefined, cost: number): Promise<void> {
    try {
      const { blocks, bavail, bsize } = statfsSync(this.#path);
      if (blocks > 0 && bavail * bsize < FREE) throw Object.assign(new Error('no room'), { code: 'ENOSPC' });
      this.#probe ??= openSync(join(this.#path, PROBE_FILE), 'w', 0o600);
      await writeTo(this.#probe, this.#block, 0, this.#block.length, 0);
      if (root !== undefined && this.#room < cost + BASE) await this.#grow(root, cost + BASE);
      if (this.#doubtful) await sync(this.#probe);
      this.#doubtful = false;
    } catch (error) {
      this.#doubtful = true;
      throw error;
    }
  }

  /**
   * The same once more right before LMDB writes. Waits for the disk in the event loop, so only right after
   * {@link ready}, which waits beside it for a disk that hangs.
   */
  still(): void {
    if (this.#probe !== undefined) writeSync(this.#probe, this.#block, 0, this.#block.length, 0);
  }

  /** A transaction of at most `cost` bytes was written, or tried. */
  spent(cost: number): void {
    this.#room -= cost + BASE;
  }

  /** A transaction failed: the room is counted anew, and the disk tried more thoroughly. */
  failed(): void {
    this.#room = 0;
    this.#doubtful = true;
  }

  async close(): Promise<void> {
    for (const file of [this.#probe, this.#data]) if (file !== undefined) await closeFile(file).catch(() => undefined);
    this.#probe = this.#data = undefined;
  }

  async #grow(root: RootDatabase, needed: number): Promise<void> {
    root.resetReadTxn();
    const { pageSize, lastPageNumber } = root.getStats() as {
      readonly pageSize: number;
      readonly lastPageNumber: number;
    };
    const used = (lastPageNumber + 1) * pageSize;
    this.#data ??= openSync(join(this.#path, DATA_FILE), 'r+');
    let size = fstatSync(this.#data).size;
    const wanted = used + needed + STEP;
    if (size < used + needed) {
      for (const zeros = Buffer.alloc(STEP / 4); size < wanted; )
        size += (await writeTo(this.#data, zeros, 0, Math.min(zeros.length, wanted - size), size)).bytesWritten;
    }
    this.#room = size - used;
  }
}
