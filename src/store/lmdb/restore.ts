import type { RestoredRow } from '../engine.ts';
import { checkRestoredKey } from '../keys.ts';
import type { Tables } from './tables.ts';

/**
 * Writes `pages` where nothing reads yet, each page in a step of its own, so that neither memory nor other writers feel
 * how large the whole is. What is staged is taken up later, in one step, by {@link Tables.adopt}.
 */
export async function stage(
  step: (rows: readonly RestoredRow[], write: (tables: Tables) => void) => Promise<void>,
  pages: AsyncIterable<readonly RestoredRow[]>,
  keepRevisions: boolean,
): Promise<void> {
  await step([], (tables) => tables.clearStaged());
  let last = '';
  for await (const page of pages) {
    for (const { key } of page) {
      checkRestoredKey(key, last);
      last = key;
    }
    await step(page, (tables) => {
      for (const row of page) tables.putStaged(row, keepRevisions);
    });
  }
}
