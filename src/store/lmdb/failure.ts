import { statfsSync } from 'node:fs';
import { diskReason } from '../../lib/disk-error.ts';
import { IsthmusError } from '../../lib/errors.ts';

/** An error's text for an operator. */
export function reason(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  if (message.includes('MDB_MAP_FULL')) return 'its memory map can grow no further';
  return diskReason(error) ?? message;
}

/**
 * Why a transaction was not written. LMDB's wrapper gives the cause of a commit that failed in a promise of its own.
 */
export async function writeFailure(path: string, error: unknown): Promise<IsthmusError> {
  if (error instanceof IsthmusError) return error;
  const { commitError } = error as { readonly commitError?: Promise<never> };
  const cause = commitError === undefined ? error : await commitError.catch((why: unknown) => why);
  return new IsthmusError('unavailable', `the store in ${path} can't be written: ${reason(cause)}`, { cause });
}

/** What a group of transactions may take at most, bytes. */
const ROOM = 4 * 1024 * 1024;

/**
 * Throws when the disk is as good as full. LMDB must not find that out by itself: lmdb 3.5.6 writes the text of a page
 * that could not be written over the end of its buffer, which ends the process now and then.
 */
export function requireRoom(path: string): void {
  const { blocks, bavail, bsize } = statfsSync(path);
  if (blocks > 0 && bavail * bsize < ROOM) throw Object.assign(new Error('no room'), { code: 'ENOSPC' });
}
