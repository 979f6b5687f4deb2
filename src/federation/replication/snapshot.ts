import { isDeepStrictEqual } from 'node:util';
import type { RowDelta } from '../../rpc/contract/changes.ts';
import type { ReplicaTable } from './kinds.ts';

/** A snapshot of an unproven history may delete this many rows, or this part of them, without being asked about. */
const FREE_DELETES = 3;
const FREE_SHARE = 0.2;

/** What has to change here to be as the snapshot: rows that differ or are retried, and rows to delete. */
export function diffSnapshot(
  table: ReplicaTable,
  snapshot: ReadonlyMap<string, RowDelta>,
  quarantined: ReadonlySet<string>,
  revision: number,
): { readonly changes: readonly RowDelta[]; readonly deletes: number } {
  const changes: RowDelta[] = [];
  for (const row of snapshot.values()) if (quarantined.has(row.key) || !isSame(table, row)) changes.push(row);
  let deletes = 0;
  for (const { key } of table.list()) {
    if (snapshot.has(key)) continue;
    changes.push({ key, revision });
    deletes += 1;
  }
  for (const key of quarantined)
    if (!snapshot.has(key) && table.get(key) === undefined) changes.push({ key, revision });
  return { changes, deletes };
}

/** Why a snapshot whose history does not follow from ours is not taken, or undefined when it may be. */
export function refuseMassDelete(
  source: string,
  here: number,
  inSnapshot: number,
  deletes: number,
): string | undefined {
  if (here === 0 || deletes === 0) return undefined;
  const emptied = inSnapshot === 0;
  if (!emptied && (deletes <= FREE_DELETES || deletes <= here * FREE_SHARE)) return undefined;
  const what = emptied ? 'is empty' : `lacks ${deletes} of them`;
  return (
    `${here} entries are here, and the store of datacenter "${source}" is another one than before and ${what}: ` +
    'nothing was deleted; restore the right store there, or accept this one'
  );
}

function isSame(table: ReplicaTable, { key, json }: RowDelta): boolean {
  const row = table.get(key);
  if (row === undefined || json === undefined) return row === undefined && json === undefined;
  try {
    return isDeepStrictEqual(row.value, JSON.parse(json.toString()));
  } catch {
    return false; // applying it tells what is wrong
  }
}
