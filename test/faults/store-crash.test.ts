import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { IsthmusError } from '../../src/lib/errors.ts';
import type { Commit, Engine } from '../../src/store/engine.ts';
import { openLmdbEngine } from '../../src/store/lmdb/lmdb-engine.ts';
import { FakeClock } from '../fakes/fake-clock.ts';
import { bundleScript } from '../harness/bundle.ts';

const KILLS = 200;
/** Stores tried at the same time. */
const LANES = 2;
/** A writer that tells nothing for so long hangs, milliseconds. Far above the seconds that a busy machine needs. */
const SILENCE_MS = 60_000;

let script: string;
let folder: string;

beforeAll(async () => {
  script = await bundleScript(join(import.meta.dirname, 'store-writer.ts'));
  folder = await mkdtemp(join(tmpdir(), 'isthmus-crash-'));
});

afterAll(async () => {
  await rm(folder, { recursive: true });
  await rm(script);
});

interface Acknowledged {
  readonly revision: number;
  readonly key: string;
  readonly value: string;
}

/** What a writer told before it ended. */
interface Told {
  readonly ready: number | undefined;
  readonly acks: Acknowledged[];
  readonly rest: string[];
}

/** Runs a writer; after `killAfter` acknowledged writes (0: as soon as the process runs) it is killed. */
async function runWriter(path: string, seed: number, killAfter: number, limitKb?: number): Promise<Told> {
  const args = [script, path, String(seed)];
  const child =
    limitKb === undefined
      ? spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
      : spawn('/bin/bash', ['-c', `ulimit -f ${limitKb}; exec "$0" "$@"`, process.execPath, ...args], {
          stdio: ['ignore', 'pipe', 'ignore'],
        });
  const ended = once(child, 'exit');
  let hangs = false;
  const watchdog = setTimeout(() => {
    hangs = true;
    child.kill('SIGKILL');
  }, SILENCE_MS);
  if (killAfter === 0) child.kill('SIGKILL');
  let ready: number | undefined;
  const acks: Acknowledged[] = [];
  const rest: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    watchdog.refresh();
    const [word, revision, key, value] = line.split(' ');
    if (word === 'ready') ready = Number(revision);
    else if (word === 'ack') acks.push({ revision: Number(revision), key: key ?? '', value: value ?? '' });
    else rest.push(line);
    if (acks.length === killAfter) child.kill('SIGKILL');
  }
  await ended;
  clearTimeout(watchdog);
  if (hangs) {
    const state = ready === undefined ? 'before it had opened the store' : `after ${acks.length} acknowledged writes`;
    throw new Error(`the writer with seed ${seed} told nothing for ${SILENCE_MS} ms ${state}`);
  }
  return { ready, acks, rest };
}

async function open(path: string): Promise<Engine> {
  const onError = (_what: string, error: IsthmusError): void => {
    throw error;
  };
  return openLmdbEngine({ path, clock: new FakeClock(), keepRevisions: 1_000_000, onError });
}

/** Follows a store over restarts, as a watcher that resumes does, and keeps the state that it was told. */
class Follower {
  revision = 0;
  readonly state = new Map<string, string>();

  /** Reads on to the newest revision; returns the commits that are new. */
  async follow(engine: Engine): Promise<Commit[]> {
    const newest = (await engine.range({ prefix: '', limit: 1 })).revision;
    const commits: Commit[] = [];
    if (newest === this.revision) return commits;
    const signal = new AbortController().signal;
    for await (const commit of engine.watch({ prefix: '', fromRevision: this.revision + 1, signal })) {
      expect(commit.revision).toBe(this.revision + 1);
      this.revision = commit.revision;
      for (const change of commit.changes) {
        if (change.type === 'put') this.state.set(change.key, change.value);
        else this.state.delete(change.key);
      }
      commits.push(commit);
      if (commit.revision === newest) break;
    }
    return commits;
  }
}

/** Every acknowledged write is among the commits, as it was acknowledged. */
function checkAcknowledged(commits: readonly Commit[], acks: readonly Acknowledged[], seed: number): void {
  const first = commits[0]?.revision ?? 0;
  for (const { revision, key, value } of acks) {
    const commit = commits[revision - first];
    const held = commit?.changes.some(
      (change) => change.type === 'put' && change.key === key && change.value === value,
    );
    expect(held, `seed ${seed}: revision ${revision} of ${key} was acknowledged`).toBe(true);
  }
}

describe('the embedded store', () => {
  it(`loses no acknowledged write in ${KILLS} kills, never goes back, and watches resume`, {
    timeout: 600_000,
  }, async () => {
    let acknowledged = 0;
    const lane = async (number: number): Promise<void> => {
      const path = join(folder, `lane${number}`);
      const follower = new Follower();
      let epoch: string | undefined;
      for (let round = 0; round < KILLS / LANES; round += 1) {
        const seed = number * 1_000 + round;
        // From none (killed while it opens) to some hundred; a fixed spread, so that a run can be repeated.
        const killAfter = round % 10 === 9 ? 0 : 1 + ((round * 37 + number * 11) % 120);
        const told = await runWriter(path, seed, killAfter);
        expect(told.rest).toEqual([]);
        if (told.ready !== undefined) expect(told.ready).toBe(follower.revision);
        else expect(killAfter).toBe(0);
        const engine = await open(path);
        epoch ??= engine.epoch;
        expect(engine.epoch).toBe(epoch);
        const commits = await follower.follow(engine);
        checkAcknowledged(commits, told.acks, seed);
        acknowledged += told.acks.length;
        const { rows } = await engine.range({ prefix: '' });
        expect(new Map(rows.map((row) => [row.key, row.value]))).toEqual(follower.state);
        await engine.close();
      }
    };
    await Promise.all(Array.from({ length: LANES }, (_, number) => lane(number)));
    expect(acknowledged).toBeGreaterThan(KILLS * 10);
  });

  it('fails writes on a full disk, keeps what it acknowledged, and writes again once there is room', async () => {
    const path = join(folder, 'full');
    const told = await runWriter(path, 7, Number.POSITIVE_INFINITY, 4_000);
    expect(told.acks.length).toBeGreaterThan(100);
    expect(told.rest.at(-2)).toMatch(
      /^failed unavailable the store in .* can't be written: the (file may not grow further|disk fails or is full)/,
    );
    const newest = Math.max(...told.acks.map((ack) => ack.revision));
    expect(told.rest.at(-1)).toMatch(new RegExp(`^end ${newest} `)); // it could still read
    const engine = await open(path);
    const follower = new Follower();
    checkAcknowledged(await follower.follow(engine), told.acks, 7);
    expect(follower.revision).toBe(newest);
    const { revision } = await engine.txn({ compare: [], ops: [{ type: 'put', key: 'a', value: '1' }] });
    expect(revision).toBe(newest + 1);
    await engine.close();
  });
});
