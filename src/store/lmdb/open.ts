import { closeSync, existsSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { RootDatabase } from 'lmdb';
import { IsthmusError } from '../../lib/errors.ts';
import { newUuid } from '../../lib/ids.ts';
import { keep } from '../../lib/kept-file.ts';
import { reason } from './failure.ts';
import { claimLockFile, openEnvironment } from './files.ts';
import { claim, type Owner } from './owner.ts';
import { Tables } from './tables.ts';

export interface OpenOptions {
  /** The store's own folder; made when missing. */
  readonly path: string;
  /** Where the memory map starts, MiB; it grows on its own. Default 1024 (address space, not memory). */
  readonly mapSizeMb?: number;
  /** Files that say, beside the folder of a store, that it is not a new one: a restore has them without the folder. */
  readonly witnesses?: readonly string[];
}

export interface Opened {
  readonly root: RootDatabase;
  readonly tables: Tables;
  /** To be closed after `root`; see {@link claimLockFile}. */
  readonly lockFile: number;
}

/**
 * Opens the store for `owner`. A store that was made and is gone is refused, for one made in its place would be another
 * authority, with another identity, under the same name: a file beside the folder says that one was made.
 */
export async function openTables(options: OpenOptions, owner: Owner): Promise<Opened> {
  const { path, mapSizeMb = 1024, witnesses = [] } = options;
  const mark = join(dirname(path), `${basename(path)}-made`);
  const witness = [mark, ...(existsSync(path) ? witnesses : [])].find((file) => existsSync(file));
  const root = openEnvironment(path, mapSizeMb, (what) => {
    if (witness !== undefined) throw goneError(path, what, witness);
  });
  let lockFile: number | undefined;
  try {
    const tables = new Tables(root, path);
    if (tables.fresh && witness !== undefined) throw goneError(path, 'its file holds nothing', witness);
    root.transactionSync(() => {
      claim(tables, owner, path);
      tables.open(newUuid());
    });
    lockFile = claimLockFile(path);
    if (!existsSync(mark)) keep(mark, MARK);
    return { root, tables, lockFile };
  } catch (error) {
    await root.close();
    if (lockFile !== undefined) closeSync(lockFile);
    if (error instanceof IsthmusError) throw error;
    throw new IsthmusError('internal', `the store in ${path} can't be opened: ${reason(error)}`, { cause: error });
  }
}

const MARK = 'A store was made here. While this file is there, no agent starts with an empty store in its place.\n';

function goneError(path: string, what: string, witness: string): IsthmusError {
  return new IsthmusError(
    'internal',
    `the store in ${path} is gone: ${what}, although ${witness} says that there was one. Put its data.mdb back, or ` +
      `restore ` +
      `a snapshot with an empty data_dir. To begin anew, with another certificate authority, remove ${witness}`,
  );
}
