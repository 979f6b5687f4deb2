/**
 * Writes into an embedded store until it is killed, and tells on standard output what was acknowledged:
 * `ready <revision>`, then `ack <revision> <key> <value>` for each, then `failed <code> <text>`
 * when a write failed (it ends then). Arguments: folder, seed, longest value.
 */
import { writeSync } from 'node:fs';
import { systemClock } from '../../src/lib/clock.ts';
import { IsthmusError } from '../../src/lib/errors.ts';
import { openLmdbEngine } from '../../src/store/lmdb/lmdb-engine.ts';

const [path = '', seed = '1', longest = '2000'] = process.argv.slice(2);
const WRITERS = 12;
const KEYS = 60;

/** Written at once, not from a buffer of this process: what was told survives the kill. */
const tell = (line: string): void => void writeSync(1, `${line}\n`);

let state = Number(seed);
/** A small generator (mulberry32), so that a seed repeats a run's choices. */
const random = (): number => {
  state = (state + 0x6d2b79f5) | 0;
  let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
};

const engine = await openLmdbEngine({
  path,
  clock: systemClock,
  onError: (what, error) => tell(`error ${what}: ${error.message}`),
});
const start = await engine.range({ prefix: '' });
tell(`ready ${start.revision}`);
const lease = await engine.grantLease(3_600_000);

let failed = false;
let count = 0;

async function write(): Promise<void> {
  while (!failed) {
    const key = `k${Math.floor(random() * KEYS)}`;
    const value = JSON.stringify(`${seed}.${count++}.${'x'.repeat(Math.floor(random() ** 3 * Number(longest)))}`);
    try {
      if (random() < 0.15) {
        // The marker makes every step a commit, also when the key is not there.
        const ops = [
          { type: 'delete', key },
          { type: 'put', key: 'marker', value },
        ] as const;
        const { revision } = await engine.txn({ compare: [], ops });
        tell(`ack ${revision} marker ${value}`);
      } else {
        const op = { type: 'put', key, value, ...(random() < 0.1 && { lease: lease.id }) } as const;
        const { revision } = await engine.txn({ compare: [], ops: [op] });
        tell(`ack ${revision} ${key} ${value}`);
      }
    } catch (thrown) {
      if (failed) return;
      failed = true;
      const error = IsthmusError.from(thrown);
      tell(`failed ${error.code} ${error.message}`);
    }
  }
}

await Promise.all(Array.from({ length: WRITERS }, write));
const end = await engine.range({ prefix: '' });
tell(`end ${end.revision} ${end.rows.length}`);
await engine.close();
