import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { IsthmusError } from '../../lib/errors.ts';
import { keep } from '../../lib/kept-file.ts';
import { readEncryptionKey } from '../../pki/seal.ts';

/** With which private keys leave in snapshots where the operator gave no key for them. */
export interface SnapshotKey {
  /** Made when first asked for. */
  make(): Buffer;
  /** Undefined where none was made or put. */
  present(): Buffer | undefined;
}

/** Its file's name in the data directory. */
export const SNAPSHOT_KEY = 'snapshot.key';
const BYTES = 32;

/**
 * Kept beside the store, mode 0600; of an agent without a data directory it lives as long as the process, as its store
 * does.
 */
export function snapshotKey(dataDir: string): SnapshotKey {
  const path = dataDir === '' ? undefined : join(dataDir, SNAPSHOT_KEY);
  let inMemory: Buffer | undefined;
  const present = (): Buffer | undefined => (path === undefined ? inMemory : readKey(path));
  return {
    present,
    make() {
      const known = present();
      if (known !== undefined) return known;
      const key = randomBytes(BYTES);
      if (path === undefined) {
        inMemory = key;
        return key;
      }
      keep(path, `${key.toString('hex')}\n`); // whole or not at all: half a key would be in the way of every snapshot
      return key;
    },
  };
}

function readKey(path: string): Buffer | undefined {
  let contents: Buffer;
  try {
    contents = readFileSync(path);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new IsthmusError('rejected', `the key for snapshots can't be read: ${path}`, { cause });
  }
  try {
    return readEncryptionKey(contents);
  } catch (cause) {
    throw new IsthmusError('rejected', `${path} does not hold a key: 32 bytes, as 64 hexadecimal digits`, { cause });
  }
}
