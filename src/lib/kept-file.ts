import { closeSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { diskReason } from './disk-error.ts';
import { IsthmusError } from './errors.ts';

/**
 * The text of a file; undefined when there is none. Any other failure is thrown: what can't be read may still be there.
 */
export function readKept(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT') return undefined;
    throw new IsthmusError('unavailable', `${path} can't be read: ${diskReason(cause) ?? code ?? String(cause)}`, {
      cause,
    });
  }
}

/** Replaces a file for its owner only: after a crash or on a full disk the old one or the new one is there, whole. */
export function keep(path: string, text: string): void {
  const unfinished = `${path}.new`;
  try {
    const file = openSync(unfinished, 'w', 0o600);
    try {
      writeFileSync(file, text);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(unfinished, path);
  } catch (cause) {
    const why = diskReason(cause) ?? (cause as NodeJS.ErrnoException).code ?? String(cause);
    try {
      rmSync(unfinished, { force: true });
    } catch {
      // the first error is the one worth telling
    }
    throw new IsthmusError('unavailable', `${path} can't be written: ${why}`, { cause });
  }
}
