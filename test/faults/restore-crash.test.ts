import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openLmdbEngine } from '../../src/store/lmdb/lmdb-engine.ts';
import { FakeClock } from '../fakes/fake-clock.ts';
import { bundleScript } from '../harness/bundle.ts';

const KILLS = 40;
const ROWS = 3_000;
/** A writer that tells nothing for so long hangs, milliseconds. Far above the seconds that a busy machine needs. */
const SILENCE_MS = 60_000;

let script: string;
let folder: string;

beforeAll(async () => {
  script = await bundleScript(join(import.meta.dirname, 'restore-writer.ts'));
  folder = await mkdtemp(join(tmpdir(), 'isthmus-restore-'));
});

afterAll(async () => {
  await rm(folder, { recursive: true });
  await rm(script);
});

/** Runs a writer that is killed after so many lines, `delayMs` later; resolves with the lines. */
async function runWriter(path: string, first: number, killAfter: number, delayMs: number): Promise<string[]> {
  const child = spawn(process.execPath, [script, path, String(first), String(ROWS)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit');
  const watchdog = setTimeout(() => child.kill('SIGKILL'), SILENCE_MS);
  const lines: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    watchdog.refresh();
    lines.push(line);
    if (lines.length === killAfter) setTimeout(() => child.kill('SIGKILL'), delayMs);
  }
  await ended;
  clearTimeout(watchdog);
  expect(lines.length).toBeGreaterThanOrEqual(killAfter);
  return lines;
}

it(`a restore that is killed leaves the old state or the new one, in ${KILLS} kills`, {
  timeout: 300_000,
}, async () => {
  const path = join(folder, 'store');
  const clock = new FakeClock();
  const onError = (what: string): void => {
    throw new Error(what);
  };
  let generation = 0;
  let revision = 0;
  let epoch = '';
  const outcomes = { old: 0, new: 0 };
  for (let round = 0; round < KILLS; round += 1) {
    // 13 lines for each restore: the kill comes at another page, or between the last page and the end, each time.
    const lines = await runWriter(path, generation + 1, 2 + ((round * 7) % 27), (round % 4) * 3);
    expect(lines.filter((line) => line.startsWith('error'))).toEqual([]);
    const done = lines.filter((line) => line.startsWith('restored')).map((line) => line.split(' ').map(Number));
    const [, told = generation, toldRevision = revision] = done.at(-1) ?? [];
    const engine = await openLmdbEngine({ path, clock, onError });
    const state = await engine.range({ prefix: '' });
    const restored = state.rows.filter((row) => row.key.startsWith('k'));
    const held = new Set(restored.map((row) => row.value));
    if (restored.length === 0) expect(told).toBe(0);
    else {
      expect(held.size, 'rows of one restore only').toBe(1);
      expect(restored).toHaveLength(ROWS);
      const found = Number(JSON.parse(restored[0]?.value ?? '').split('.')[0]);
      expect([told, told + 1]).toContain(found);
      outcomes[found === told ? 'old' : 'new'] += 1;
      // What was written beside saw this state and no other.
      for (const row of state.rows) expect(held).toContain(row.value);
      generation = found;
    }
    if (done.length > 0 || restored.some((row) => row.createRevision > revision)) expect(state.epoch).not.toBe(epoch);
    expect(state.revision).toBeGreaterThanOrEqual(toldRevision);
    revision = state.revision;
    epoch = state.epoch;
    await engine.close();
  }
  expect(outcomes.old, 'kills before the step').toBeGreaterThan(5);
});
