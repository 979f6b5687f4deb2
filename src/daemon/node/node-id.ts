import { chmodSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { IsthmusError } from '../../lib/errors.ts';
import { isUuid, newUuid } from '../../lib/ids.ts';
import { keep, readKept } from '../../lib/kept-file.ts';

/** The node's ID: from the configuration, else from the data directory, else new and kept there. */
export function loadNodeId(configured: string, dataDir: string): string {
  if (configured !== '') return configured;
  if (dataDir === '') return newUuid();
  const file = join(dataDir, 'node-id');
  const known = readKept(file)?.trim();
  if (known !== undefined && isUuid(known)) return known;
  if (known !== undefined)
    throw new IsthmusError(
      'invalid_argument',
      `${file} does not hold a UUID; correct it, or delete it to get a new ID`,
    );
  const id = newUuid();
  keep(file, `${id}\n`);
  return id;
}

/** Makes the data directory, readable by its owner only. */
export function prepareDataDir(dataDir: string): void {
  if (dataDir === '') return;
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
    chmodSync(dataDir, 0o700);
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code ?? String(cause);
    throw new IsthmusError('invalid_argument', `data_dir ${dataDir} can't be used: ${reason}`, { cause });
  }
}
