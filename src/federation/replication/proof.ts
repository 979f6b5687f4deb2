import { createHash } from 'node:crypto';
import type { ChangeProof, RowDelta } from '../../rpc/contract/changes.ts';

export function digestOf(json: Buffer | string | undefined): string {
  return createHash('sha256')
    .update(json ?? '')
    .digest('base64');
}

/** The newest of the changes as a proof of their history. */
export function proofOf(changes: readonly RowDelta[]): ChangeProof | undefined {
  let newest: RowDelta | undefined;
  for (const change of changes) if (newest === undefined || change.revision >= newest.revision) newest = change;
  return newest === undefined
    ? undefined
    : { key: newest.key, revision: newest.revision, digest: digestOf(newest.json) };
}
