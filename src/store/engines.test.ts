import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { FakeClock } from '../../test/fakes/fake-clock.ts';
import { IsthmusError } from '../lib/errors.ts';
import type { Commit, Engine, Op } from './engine.ts';
import { openLmdbEngine } from './lmdb/lmdb-engine.ts';
import { MemoryEngine } from './memory/memory-engine.ts';

type Step =
  | {
      readonly kind: 'txn';
      readonly compare: readonly [string, number][];
      readonly ops: readonly (readonly [string, string | null, boolean])[];
    }
  | {
      readonly kind: 'range';
      readonly prefix: string;
      readonly back: number;
      readonly limit: number;
      readonly after: string;
    }
  | { readonly kind: 'compact'; readonly back: number }
  | { readonly kind: 'lease'; readonly revoke: boolean }
  | { readonly kind: 'watch'; readonly prefix: string; readonly back: number }
  | { readonly kind: 'snapshot' }
  | { readonly kind: 'restore'; readonly above: number; readonly keys: readonly string[] };

const KEYS = ['a', 'a/1', 'a/2', 'b', 'b/ü', 'b/\uffee', 'b/\u{1f600}', 'c'];
const key = fc.constantFrom(...KEYS);
const prefix = fc.constantFrom('', 'a', 'a/', 'b/', 'x');
const back = fc.integer({ min: -1, max: 6 });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('txn' as const),
      compare: fc.array(fc.tuple(key, back), { maxLength: 2 }),
      ops: fc.array(fc.tuple(key, fc.option(fc.constantFrom('1', '2'), { freq: 3 }), fc.boolean()), { maxLength: 4 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('range' as const),
      prefix,
      back,
      limit: fc.integer({ min: 0, max: 5 }),
      after: fc.constantFrom('', ...KEYS),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('compact' as const), back }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('lease' as const), revoke: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('watch' as const), prefix, back }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('snapshot' as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('restore' as const),
      above: fc.integer({ min: 0, max: 60 }),
      keys: fc.oneof(fc.subarray(KEYS), fc.array(key, { maxLength: 3 })), // in order, mostly
    }),
  },
);

/** What an engine answers to a step; `modRevisions` and `lease` are the runner's memory. */
class Runner {
  readonly #engine: Engine;
  #revision = 0;
  #lease: string | undefined;
  /** Epochs in the order in which they were seen: engines give them other names. */
  readonly #epochs: string[] = [];

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  async run(step: Step): Promise<unknown> {
    try {
      return await this.#run(step);
    } catch (error) {
      if (!(error instanceof IsthmusError)) throw error;
      return [error.code, error.details];
    }
  }

  async #run(step: Step): Promise<unknown> {
    const revision = (steps: number): number => Math.max(0, this.#revision - steps);
    switch (step.kind) {
      case 'txn': {
        const compare = step.compare.map(([name, steps]) => ({
          key: name,
          modRevision: steps < 0 ? 0 : revision(steps),
        }));
        const ops = step.ops.map(([name, value, leased]): Op => {
          if (value === null) return { type: 'delete', key: name };
          const put = { type: 'put', key: name, value } as const;
          return leased && this.#lease !== undefined ? { ...put, lease: this.#lease } : put;
        });
        const result = await this.#engine.txn({ compare, ops });
        this.#revision = result.revision;
        return result;
      }
      case 'range':
        return this.#engine
          .range({
            prefix: step.prefix,
            revision: revision(step.back),
            ...(step.limit > 0 && { limit: step.limit }),
            ...(step.after !== '' && { after: step.after }),
          })
          .then((result) => ({ ...result, epoch: this.#number(result.epoch) }));
      case 'compact':
        return this.#engine.compact(revision(step.back));
      case 'lease':
        if (step.revoke && this.#lease !== undefined) {
          await this.#engine.revokeLease(this.#lease);
        } else this.#lease = (await this.#engine.grantLease(1_000)).id;
        this.#revision = (await this.#engine.range({ prefix: '' })).revision;
        return this.#revision;
      case 'watch':
        return this.#watch(step.prefix, revision(Math.max(0, step.back)) + 1);
      case 'snapshot': {
        const pages = [];
        for await (const page of this.#engine.snapshot(new AbortController().signal)) {
          pages.push({ ...page, epoch: this.#number(page.epoch) });
        }
        return pages;
      }
      case 'restore': {
        const rows = step.keys.map((name) => ({ key: name, value: 'restored' }));
        const pages = (async function* () {
          yield rows.slice(0, 2);
          yield rows.slice(2);
        })();
        const result = await this.#engine.restore(pages, { above: step.above });
        this.#revision = result.revision;
        return { ...result, epoch: this.#number(result.epoch) };
      }
    }
  }

  #number(epoch: string): number {
    if (!this.#epochs.includes(epoch)) this.#epochs.push(epoch);
    return this.#epochs.indexOf(epoch);
  }

  /** All commits up to the newest; a marker of its own ends the watch. */
  async #watch(prefix: string, fromRevision: number): Promise<Commit[]> {
    const commits: Commit[] = [];
    const mark = `${prefix}marker`;
    const signal = new AbortController().signal;
    const { revision } = await this.#engine.txn({ compare: [], ops: [{ type: 'put', key: mark, value: '1' }] });
    this.#revision = revision;
    for await (const commit of this.#engine.watch({ prefix, fromRevision, signal })) {
      commits.push(commit);
      if (commit.revision === revision) break;
    }
    return commits;
  }
}

it('the engines in memory and on disk give the same answers', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'isthmus-same-'));
  let runs = 0;
  const onError = (_what: string, error: IsthmusError): void => {
    throw error;
  };
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
      const clock = new FakeClock();
      const path = join(folder, `${runs++}`);
      const memory = new MemoryEngine(clock);
      const disk = await openLmdbEngine({ path, clock, onError });
      try {
        const [left, right] = [new Runner(memory), new Runner(disk)];
        for (const each of steps) expect(await right.run(each)).toEqual(await left.run(each));
      } finally {
        await Promise.all([memory.close(), disk.close()]);
        await rm(path, { recursive: true });
      }
    }),
    { numRuns: 80 },
  );
  await rm(folder, { recursive: true });
});
