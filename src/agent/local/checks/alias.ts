import type { CheckResult } from './runner.ts';

/** A check that an alias looks at. */
export interface AliasedCheck {
  readonly Name: string;
  readonly Status: string;
  readonly Output: string;
}

/**
 * What an alias shows of the checks behind it: the first critical one, else the last warning, else that all is well.
 */
export function aliasResult(checks: readonly AliasedCheck[]): CheckResult {
  let result: CheckResult = {
    status: 'passing',
    output: checks.length === 0 ? 'No checks found.' : 'All checks passing.',
  };
  for (const check of checks) {
    if (check.Status !== 'critical' && check.Status !== 'warning') continue;
    const output = `Aliased check ${JSON.stringify(check.Name)} failing: ${check.Output}`;
    result = { status: check.Status, output };
    if (check.Status === 'critical') break;
  }
  return result;
}
