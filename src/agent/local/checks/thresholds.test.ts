import { expect, it } from 'vitest';
import type { CheckResult } from './runner.ts';
import { type Thresholds, withThresholds } from './thresholds.ts';

const none = { successes: 0, warnings: 0, failures: 0 };
const WORDS: Readonly<Record<string, CheckResult['status']>> = { P: 'passing', W: 'warning', C: 'critical' };

/** What is shown after each of the results. */
function shown(thresholds: Partial<Thresholds>, results: string): string {
  let last = '-';
  const report = withThresholds({ ...none, ...thresholds }, ({ status }) => {
    last = status.charAt(0).toUpperCase();
  });
  return [...results]
    .map((letter) => {
      report({ status: WORDS[letter] ?? 'critical', output: '' });
      return last;
    })
    .join('');
}

it.each([
  ['nothing asked', {}, 'CPWC', 'CPWC'],
  ['the first result counts at once', { successes: 3, failures: 3 }, 'P', 'P'],
  ['the first result counts at once, a bad one too', { successes: 3, failures: 3 }, 'C', 'C'],
  ['three failures in a row', { failures: 3 }, 'PCCPCCC', 'PPPPPPC'],
  ['two successes in a row', { successes: 2 }, 'CPCPP', 'CCCCP'],
  ['a warning counts as a success', { successes: 2 }, 'CWW', 'CCW'],
  ['a warning before critical', { warnings: 2, failures: 4 }, 'PCCCCP', 'PPWWCP'],
])('%s', (_title, thresholds, results, wanted) => {
  expect(shown(thresholds, results)).toBe(wanted);
});
