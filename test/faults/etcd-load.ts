import { expect } from 'vitest';
import { systemClock } from '../../src/lib/clock.ts';
import { IsthmusError } from '../../src/lib/errors.ts';
import type { Commit, Engine } from '../../src/store/engine.ts';
import { openEtcdEngine } from '../../src/store/etcd/etcd-engine.ts';
import { etcdMeters } from '../../src/store/etcd/meters.ts';
import { noLog, noMetrics } from '../../src/telemetry/types.ts';
import { waitFor } from '../harness/index.ts';

export function openEtcd(endpoints: readonly string[], prefix: string): Promise<Engine> {
  const common = { clock: systemClock, log: noLog, meters: etcdMeters(noMetrics, []), compactEveryMs: 0 };
  return openEtcdEngine({ endpoints, prefix, ...common });
}

interface Acknowledged {
  readonly revision: number;
  readonly key: string;
  readonly value: string;
}

/**
 * Writers on several engines, as several servers have them, and a watch on each. Each writer counts a key of its own
 * up, by comparing and setting: a write that was lost, or applied twice, breaks its count.
 */
export class EtcdLoad {
  readonly acknowledged: Acknowledged[] = [];
  /** Texts of the errors that writers saw. */
  readonly errors: string[] = [];
  /** Longest time without an acknowledged write, milliseconds. */
  longestPauseMs = 0;
  readonly #engines: readonly Engine[];
  readonly #seen: Commit[][];
  readonly #ending = new AbortController();
  #watching: Promise<unknown> = Promise.resolve();
  #writing: Promise<unknown> = Promise.resolve();
  #lastAt = performance.now();
  #stopped = false;

  constructor(engines: readonly Engine[]) {
    this.#engines = engines;
    this.#seen = engines.map(() => []);
  }

  start(writersEach: number): void {
    const watching = this.#engines.map((engine, at) => this.#watch(engine, this.#seen[at] as Commit[]));
    const writing = this.#engines.flatMap((engine, at) =>
      Array.from({ length: writersEach }, (_, n) => this.#write(engine, `n${at}-${n}`)),
    );
    this.#watching = Promise.all(watching);
    this.#writing = Promise.all(writing);
  }

  /** Resolves once so many more writes have been acknowledged. */
  async more(count: number, what: string): Promise<void> {
    const goal = this.acknowledged.length + count;
    await waitFor(async () => this.acknowledged.length >= goal, { what: `${count} writes ${what}`, timeout: 30_000 });
  }

  /** Stops the writers, waits until every watch has shown the newest write, and checks what was promised. */
  async finish(): Promise<void> {
    this.#stopped = true;
    await this.#writing;
    const newest = Math.max(...this.acknowledged.map(({ revision }) => revision));
    await waitFor(async () => this.#seen.every((seen) => (seen.at(-1)?.revision ?? 0) >= newest), {
      what: 'the watches to have seen all writes',
      timeout: 30_000,
    });
    this.#ending.abort();
    await this.#watching;
    for (const seen of this.#seen) this.#check(seen);
    const [first, ...others] = this.#seen.map((seen) => seen.filter(({ revision }) => revision <= newest));
    for (const other of others) expect(other).toEqual(first);
  }

  #check(seen: readonly Commit[]): void {
    const counts = new Map<string, number>();
    const byRevision = new Map<number, Commit>();
    let last = 0;
    for (const commit of seen) {
      expect(commit.revision).toBeGreaterThan(last); // never again, never back
      last = commit.revision;
      byRevision.set(commit.revision, commit);
      for (const change of commit.changes) {
        if (change.type !== 'put') continue;
        expect(Number(change.value), `${change.key} at ${commit.revision}`).toBe((counts.get(change.key) ?? 0) + 1);
        counts.set(change.key, Number(change.value));
      }
    }
    for (const { revision, key, value } of this.acknowledged) {
      const found = byRevision.get(revision)?.changes.find((change) => change.key === key);
      expect(found, `${key} = ${value} was acknowledged at ${revision}`).toMatchObject({ type: 'put', value });
    }
  }

  async #watch(engine: Engine, seen: Commit[]): Promise<void> {
    const query = { prefix: '', fromRevision: 1, signal: this.#ending.signal };
    try {
      for await (const commit of engine.watch(query)) seen.push(commit);
    } catch (error) {
      if (!this.#ending.signal.aborted) throw error;
    }
  }

  async #write(engine: Engine, key: string): Promise<void> {
    while (!this.#stopped) {
      try {
        const [row] = (await engine.range({ prefix: key })).rows;
        const value = String(Number(row?.value ?? 0) + 1);
        const { succeeded, revision } = await engine.txn({
          compare: [{ key, modRevision: row?.modRevision ?? 0 }],
          ops: [{ type: 'put', key, value }],
        });
        // No one else writes the key: only a write of ours that we were told had failed can have come between.
        if (succeeded) this.#acknowledge({ revision, key, value });
        else expect(this.errors.join('\n')).toContain('did not say whether it wrote');
      } catch (thrown) {
        if (!(thrown instanceof IsthmusError)) throw thrown;
        expect(thrown.code).toBe('unavailable');
        this.errors.push(thrown.message);
      }
    }
  }

  #acknowledge(write: Acknowledged): void {
    this.acknowledged.push(write);
    const now = performance.now();
    this.longestPauseMs = Math.max(this.longestPauseMs, now - this.#lastAt);
    this.#lastAt = now;
  }
}
