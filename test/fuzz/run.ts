import { expect } from 'vitest';
import { IsthmusError } from '../../src/lib/errors.ts';
import { seeded } from '../harness/random.ts';
import { collectGarbage } from './heap.ts';
import { createMutator } from './mutate.ts';

/**
 * One function that reads untrusted input. Each input must be taken or refused: with an IsthmusError that is no
 * defect, within its time, leaving nothing behind.
 */
export interface FuzzTarget {
  readonly name: string;
  /** Good inputs. */
  readonly corpus: readonly (Buffer | string)[];
  /** Words of the language. */
  readonly dictionary?: readonly string[];
  /** Inputs of a run of the tests; `npm run fuzz` goes on for ISTHMUS_FUZZ_SECONDS instead. */
  readonly count: number;
  run(input: Buffer): void | Promise<void>;
  /** Waits for what `run` has begun. */
  flush?(): Promise<void>;
}

/** CPU milliseconds that one input may take. What others do to the machine does not count. */
const MAX_CPU_MS = 1_500;
/** Growth of the heap over the second half of a long run that is not noise, bytes. */
const MAX_GROWTH = 32 * 1024 * 1024;

export async function fuzz(target: FuzzTarget): Promise<void> {
  const random = seeded();
  const corpus = target.corpus.map((input) => Buffer.from(input));
  for (const input of corpus) await target.run(input);
  const mutator = createMutator(random, corpus, target.dictionary);
  const seconds = Number(process.env.ISTHMUS_FUZZ_SECONDS ?? 0);
  const start = performance.now();
  const end = start + seconds * 1_000;
  // By then caches are full, code is compiled, and as many connections are held as ever are.
  const half = start + seconds * 500;
  let warm: number | undefined;
  let count = 0;
  for (; seconds > 0 ? performance.now() < end : count < target.count; count += 1) {
    if (seconds > 0 && warm === undefined && performance.now() > half) warm = collectGarbage();
    const input = mutator.next();
    const before = process.cpuUsage();
    try {
      await target.run(input);
    } catch (thrown) {
      if (isDefect(thrown))
        throw new Error(`${describe(input)} (seed ${random.seed}): ${String(thrown)}`, { cause: thrown });
    }
    const { user, system } = process.cpuUsage(before);
    const cpuMs = (user + system) / 1_000;
    if (cpuMs > MAX_CPU_MS) throw new Error(`${describe(input)} (seed ${random.seed}) took ${cpuMs} ms`);
  }
  await target.flush?.();
  if (warm !== undefined) {
    const grown = collectGarbage() - warm;
    const mb = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MB`;
    console.log(
      `${target.name}: ${count} inputs in ${seconds} s, seed ${random.seed}; heap ${mb(warm)} at half time, ` +
        `${mb(warm + grown)} at the end; resident ${mb(process.memoryUsage().rss)}`,
    );
    expect(grown, 'growth of the heap').toBeLessThan(MAX_GROWTH);
  }
}

function isDefect(thrown: unknown): boolean {
  return !(thrown instanceof IsthmusError) || thrown.code === 'internal';
}

function describe(input: Buffer): string {
  const text =
    input.length > 400
      ? `${input.subarray(0, 400).toString('base64')}… (${input.length} bytes)`
      : input.toString('base64');
  return `base64 ${text}`;
}

/** For the tests that call {@link fuzz}. */
export const FUZZ_TIMEOUT_MS = (Number(process.env.ISTHMUS_FUZZ_SECONDS ?? 0) + 30) * 1_000;
