import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openLmdbEngine } from '../../src/store/lmdb/lmdb-engine.ts';
import { MemoryEngine } from '../../src/store/memory/memory-engine.ts';
import { describeEngine } from './store-engine.ts';

describeEngine('memory', async () => ({ open: async (clock) => new MemoryEngine(clock) }));

describeEngine('lmdb', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'isthmus-store-'));
  return {
    open: (clock) =>
      openLmdbEngine({
        path: join(folder, 'store'),
        clock,
        onError: (what, error) => {
          throw new Error(`${what}: ${error.message}`);
        },
      }),
    dispose: () => rm(folder, { recursive: true }),
  };
});
