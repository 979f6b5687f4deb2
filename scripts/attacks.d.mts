export interface Attack {
  readonly who: string;
  readonly attack: string;
  readonly tried: string;
  readonly file: string;
  readonly title: string;
}
export const ATTACKS: readonly Attack[];
export interface Report {
  readonly testResults: readonly {
    readonly name: string;
    readonly assertionResults: readonly { readonly fullName: string; readonly status: string }[];
  }[];
}
export function resultsOf(report: Report): { attack: Attack; result: 'held' | 'FAILED' | 'skipped'; tests: number }[];
