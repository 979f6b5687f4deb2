import type { Bed, Program } from './bed.ts';
import type { Figure, Row } from './rows.ts';

export interface RoundsOptions {
  /** What each row is measured with; the first is the one that the others are compared with. */
  readonly programs: readonly Program[];
  readonly rows: ReadonlyMap<string, Row>;
  readonly rounds: number;
  /** For one row of one program in one round, its start included. */
  readonly timeoutMs: number;
  readonly onProgress: (line: string) => void;
}

/** All that was measured under one title. */
export interface Measured {
  readonly what: string;
  readonly unit: string;
  readonly goal: string;
  /** By program, a value of each round. */
  readonly values: ReadonlyMap<string, readonly number[]>;
}

export interface Failure {
  readonly row: string;
  readonly program: string;
  readonly why: string;
}

export interface Results {
  readonly measured: readonly Measured[];
  readonly failures: readonly Failure[];
}

/**
 * Measures each row with one program after the other, round by round, each time on datacenters that were just started:
 * whatever else the machine does meets all of them, and no row meets what another one left behind.
 */
export async function measureRows(options: RoundsOptions): Promise<Results> {
  const { programs, rows, rounds, onProgress } = options;
  const measured = new Map<string, { figure: Figure; values: Map<string, number[]> }>();
  const failures: Failure[] = [];
  for (const [row, measure] of rows) {
    const failed = new Set<string>();
    for (let round = 0; round < rounds; round += 1) {
      // The second to run finds the machine warmer than the first: each is first in turn.
      for (const program of round % 2 === 0 ? programs : programs.toReversed()) {
        if (failed.has(program.name)) continue;
        onProgress(`${row}, round ${round + 1} of ${rounds}: ${program.name}`);
        try {
          for (const figure of await measureOnce(program, measure, options.timeoutMs)) {
            const of = measured.get(figure.what) ?? { figure, values: new Map() };
            measured.set(figure.what, of);
            of.values.set(program.name, [...(of.values.get(program.name) ?? []), figure.value]);
          }
        } catch (error) {
          const why = error instanceof Error ? error.message : String(error);
          failed.add(program.name);
          failures.push({ row, program: program.name, why });
          onProgress(`${row}: ${program.name} failed: ${why}`);
        }
      }
    }
  }
  return {
    measured: [...measured.values()].map(({ figure: { what, unit, goal }, values }) => ({ what, unit, goal, values })),
    failures,
  };
}

async function measureOnce(program: Program, measure: Row, timeoutMs: number): Promise<readonly Figure[]> {
  let stage = 'its start';
  let bed: Bed | undefined;
  let late = false;
  let timer: NodeJS.Timeout | undefined;
  const timedOut = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      late = true;
      reject(new Error(`not over within ${timeoutMs / 1_000} s: waited for ${stage}`));
    }, timeoutMs);
  });
  const work = async (): Promise<readonly Figure[]> => {
    bed = await program.start();
    if (late) throw new Error('started too late');
    stage = 'the measurement';
    const figures = await measure(bed);
    stage = 'its end';
    await bed.stop();
    return figures;
  };
  const working = work();
  try {
    return await Promise.race([working, timedOut]);
  } catch (error) {
    await bed?.kill();
    // What was waiting for the processes fails now; one that was still starting is ended when it has started.
    working.catch(() => bed?.kill()).catch(() => undefined);
    throw error;
  } finally {
    clearTimeout(timer);
  }
}
