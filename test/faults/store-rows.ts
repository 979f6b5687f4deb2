import { join } from 'node:path';
import { systemClock } from '../../src/lib/clock.ts';
import type { Engine, Row } from '../../src/store/engine.ts';
import { openLmdbEngine } from '../../src/store/lmdb/lmdb-engine.ts';

/** Opens the store of an agent that is stopped, for as long as `use` takes. */
export async function inStoreOf<T>(dataDir: string, use: (engine: Engine) => Promise<T>): Promise<T> {
  const engine = await openLmdbEngine({
    path: join(dataDir, 'store'),
    clock: systemClock,
    onError: (what, error) => {
      throw new Error(`${what}: ${error.message}`);
    },
  });
  try {
    return await use(engine);
  } finally {
    await engine.close();
  }
}

export async function rowsOf(dataDir: string, prefix: string): Promise<readonly Row[]> {
  return inStoreOf(dataDir, async (engine) => (await engine.range({ prefix })).rows);
}
