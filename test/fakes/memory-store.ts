import { systemClock } from '../../src/lib/clock.ts';
import { MemoryEngine } from '../../src/store/memory/memory-engine.ts';
import { Store } from '../../src/store/store.ts';

/** A store over the engine in memory; declare tables, then start it. A broken view fails the test at once. */
export function memoryStore(): Store {
  return new Store({
    engine: new MemoryEngine(systemClock),
    clock: systemClock,
    onError: (what, error) => {
      throw new Error(`${what}: ${error.message}`);
    },
  });
}
