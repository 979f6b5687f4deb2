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
