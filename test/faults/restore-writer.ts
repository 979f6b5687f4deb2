/**
 * Restores an embedded store again and again, while others write, until it is killed. Tells `ready <revision>`, then
 * `staged <generation> <page>` for each page handed over and `restored <generation> <revision>` for each restore.
 * Arguments: folder, first generation, rows in each restore.
 */
import { writeSync } from 'node:fs';
import { systemClock } from '../../src/lib/clock.ts';
import type { RestoredRow } from '../../src/store/engine.ts';
import { openLmdbEngine } from '../../src/store/lmdb/lmdb-engine.ts';

const [path = '', first = '1', count = '3000'] = process.argv.slice(2);
const PAGE_ROWS = 250;

/** Written at once, not from a buffer of this process: what was told survives the kill. */
const tell = (line: string): void => void writeSync(1, `${line}\n`);

const engine = await openLmdbEngine({
  path,
  clock: systemClock,
  onError: (what, error) => tell(`error ${what}: ${error.message}`),
});
tell(`ready ${(await engine.range({ prefix: '', limit: 1 })).revision}`);

/** Values differ in length from one generation to the next, so that pages are used and freed. */
async function* pages(generation: number): AsyncGenerator<RestoredRow[], void, void> {
  const value = JSON.stringify(`${generation}.${'x'.repeat((generation * 97) % 900)}`);
  for (let page = 0; page * PAGE_ROWS < Number(count); page += 1) {
    tell(`staged ${generation} ${page}`);
    yield Array.from({ length: PAGE_ROWS }, (_, n) => ({
      key: `k${String(page * PAGE_ROWS + n).padStart(6, '0')}`,
      value,
    }));
  }
}

/** Someone who writes beside: each value names the generation that the writer found. */
async function writeBeside(): Promise<void> {
  for (let n = 0; ; n += 1) {
    const [row] = (await engine.range({ prefix: 'k', limit: 1 })).rows;
    await engine.txn({
      compare: [{ key: 'k000000', modRevision: row?.modRevision ?? 0 }],
      ops: [{ type: 'put', key: `w${n % 50}`, value: row?.value ?? 'none' }],
    });
  }
}

async function restoreAgain(): Promise<void> {
  for (let generation = Number(first); ; generation += 1) {
    const { revision } = await engine.restore(pages(generation), { above: 0 });
    tell(`restored ${generation} ${revision}`);
  }
}

await Promise.all([writeBeside(), restoreAgain()]);
