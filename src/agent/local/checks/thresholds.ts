import type { ReportResult } from './runner.ts';

export interface Thresholds {
  /** Times in a row that a check passes, or warns, before it is shown so. */
  readonly successes: number;
  /** Times in a row that it is critical before it is shown as a warning. */
  readonly warnings: number;
  /** Times in a row that it is critical before it is shown so. */
  readonly failures: number;
}

/** Lets a status through only after it was found often enough in a row; the very first one at once. */
export function withThresholds({ successes, warnings, failures }: Thresholds, report: ReportResult): ReportResult {
  if (successes <= 1 && failures <= 1) return report;
  const warnAfter = warnings > 0 ? warnings : failures;
  let good = successes;
  let bad = failures;
  return (result) => {
    if (result.status === 'critical') {
      good = 0;
      bad += 1;
      if (bad >= failures) report(result);
      else if (bad >= warnAfter) report({ ...result, status: 'warning' });
    } else {
      bad = 0;
      good += 1;
      if (good >= successes) report(result);
    }
  };
}
