import type { Clock, Timer } from '../../../lib/clock.ts';
import type { CheckRunner, ReportResult } from './runner.ts';

export interface TtlCheck extends CheckRunner {
  /** Someone said how it is: the time starts anew. */
  heard(output: string): void;
}

/** Turns critical when there was no report for `ttlMs`. @param firstMs time until then the first time. */
export function startTtlCheck(
  clock: Clock,
  ttlMs: number,
  firstMs: number,
  lastOutput: string,
  report: ReportResult,
): TtlCheck {
  let last = lastOutput;
  const expire = (): void =>
    report({
      status: 'critical',
      output: last === '' ? 'TTL expired' : `TTL expired (last output before timeout follows): ${last}`,
    });
  let timer: Timer = clock.after(firstMs, expire);
  return {
    heard: (output) => {
      last = output;
      timer.cancel();
      timer = clock.after(ttlMs, expire);
    },
    stop: () => timer.cancel(),
  };
}
