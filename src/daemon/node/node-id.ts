import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { IsthmusError } from '../../lib/errors.ts';
import { isUuid, newUuid } from '../../lib/ids.ts';

/** The node's ID: from the configuration, else from the data directory, else new and kept there. */
export function loadNodeId(configured: string, dataDir: string): string {
  if (configured !== '') return configured;
  if (dataDir === '') return newUuid();
  const file = join(dataDir, 'node-id');
  try {
    const known = readFileSync(file, 'utf8').trim();
    if (!isUuid(known)) {
      throw new IsthmusError(
        'invalid_argument',
        `${file} does not hold a UUID; correct it, or delete it to get a new ID`,
      );
    }
    return known;
  } catch (error) {
    if (error instanceof IsthmusError) throw error;
  }
  const id = newUuid();
  writeFileSync(file, `${id}\n`, { mode: 0o600 });
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
