import type { Report as Results } from './attacks.mjs';

export interface Counts {
  readonly passed: number;
  readonly failed: number;
}
export interface Report {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly testResults: readonly (Results['testResults'][number] & { readonly status: string })[];
}
export function countsOf(report: Report | undefined, green: boolean): Counts;
export function runVitest(
  root: string,
  args: readonly string[],
  options?: { readonly node?: string; readonly env?: NodeJS.ProcessEnv },
): Counts & { readonly report: Report | undefined };
