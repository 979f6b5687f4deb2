import type { Clock, Timer } from '../../../lib/clock.ts';
import { IsthmusError } from '../../../lib/errors.ts';
import { abortable } from '../../../lib/signals.ts';
import type { TaskGroup } from '../../../lib/task.ts';

/** A check at work, until it is stopped. */
export interface CheckRunner {
  stop(): void;
  /** Runs it at once instead of at its next turn, when it is one that takes turns. */
  hurry?(): void;
}

/** What a run of a check found. */
export interface CheckResult {
  readonly status: 'passing' | 'warning' | 'critical';
  readonly output: string;
  /** The run has its result, and still goes on: no other one begins before this resolves. */
  readonly over?: Promise<void>;
}

export type ReportResult = (result: CheckResult) => void;

export interface RunnerDeps {
  readonly clock: Clock;
  readonly tasks: TaskGroup;
  /** Chance in [0, 1). */
  readonly random: () => number;
}

/** Checks run no more often than this, milliseconds. */
const MIN_INTERVAL_MS = 1_000;

/** Runs `probe` every `intervalMs`, the first time at a random moment within it so that checks don't run in step. */
export function startIntervalCheck(
  deps: RunnerDeps,
  intervalMs: number,
  probe: (signal: AbortSignal) => Promise<CheckResult>,
  report: ReportResult,
): CheckRunner {
  const interval = Math.max(MIN_INTERVAL_MS, intervalMs);
  const controller = new AbortController();
  let timer: Timer;
  let running = false;
  let again = false;
  const run = async (): Promise<void> => {
    running = true;
    do {
      again = false;
      const result = await probe(controller.signal).catch(
        (error: unknown): CheckResult => ({ status: 'critical', output: IsthmusError.from(error).message }),
      );
      if (controller.signal.aborted) return;
      report(result);
      if (result.over !== undefined) await abortable(result.over, controller.signal).catch(() => undefined);
      if (controller.signal.aborted) return;
    } while (again);
    running = false;
    timer = deps.clock.after(interval, fire);
  };
  const fire = (): void => deps.tasks.run('check', run);
  timer = deps.clock.after(deps.random() * interval, fire);
  return {
    hurry: () => {
      again = true; // what runs now may have looked too early
      if (running || controller.signal.aborted) return;
      timer.cancel();
      fire();
    },
    stop: () => {
      controller.abort();
      timer.cancel();
    },
  };
}

/** Bytes of output kept of a check when its definition does not say otherwise. */
export const MAX_OUTPUT = 4_096;

/** The first `limit` bytes, with a note of what was cut. */
export function truncateOutput(output: string, limit: number): string {
  const total = Buffer.byteLength(output);
  if (total <= limit) return output;
  const head = new TextDecoder().decode(Buffer.from(output).subarray(0, limit), { stream: true });
  return `${head} ... (captured ${limit} of ${total} bytes)`;
}
