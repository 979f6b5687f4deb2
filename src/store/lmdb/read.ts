import { IsthmusError } from '../../lib/errors.ts';
import type { RangeQuery, Row } from '../engine.ts';
import { compareKeys } from '../keys.ts';
import { compactedError } from '../watchers.ts';
import type { Tables } from './tables.ts';

/** Reads a range at the newest or an older revision. */
export function readRange(tables: Tables, query: RangeQuery): { rows: Row[]; revision: number; more: boolean } {
  const newest = tables.revision;
  const revision = query.revision ?? newest;
  const source = revision === newest ? tables.rows(query.prefix, query.after) : rowsAt(tables, revision, newest, query);
  const rows: Row[] = [];
  for (const row of source) {
    if (rows.length === query.limit) return { rows, revision, more: true };
    rows.push(row);
  }
  return { rows, revision, more: false };
}

/** The newest rows of a range with the commits after `revision` undone. */
function* rowsAt(
  tables: Tables,
  revision: number,
  newest: number,
  { prefix, after }: RangeQuery,
): Generator<Row, void, void> {
  if (revision > newest) throw new IsthmusError('invalid_argument', `revision ${revision} is in the future`);
  const { compacted } = tables;
  if (revision < compacted) throw compactedError(compacted);
  const replaced = tables.replacedSince(revision);
  const rows: Row[] = [];
  for (const row of tables.rows(prefix, after)) if (!replaced.has(row.key)) rows.push(row);
  for (const row of replaced.values()) {
    if (row === undefined || !row.key.startsWith(prefix)) continue;
    if (after === undefined || compareKeys(row.key, after) > 0) rows.push(row);
  }
  rows.sort((a, b) => compareKeys(a.key, b.key));
  yield* rows;
}
