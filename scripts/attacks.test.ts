import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { ATTACKS, resultsOf } from './attacks.mjs';

const ROOT = join(import.meta.dirname, '..');

it('each attack has a test with its title, and an attacker that SECURITY.md knows', () => {
  const threats = readFileSync(join(ROOT, 'SECURITY.md'), 'utf8').toLowerCase();
  for (const { attack, file, title, who } of ATTACKS) {
    expect(readFileSync(join(ROOT, file), 'utf8'), attack).toContain(title.trim());
    expect(threats, attack).toContain(who.toLowerCase());
  }
  expect(new Set(ATTACKS.map(({ attack }) => attack)).size).toBe(ATTACKS.length);
});

it('an attack holds only if all of its tests passed, and there are some', () => {
  const [first] = ATTACKS;
  const { file = '', title = '' } = first ?? {};
  const report = (...statuses: string[]) => ({
    testResults: [
      { name: `/x/${file}`, assertionResults: statuses.map((status) => ({ fullName: `a ${title} b`, status })) },
    ],
  });
  expect(resultsOf(report('passed', 'passed'))[0]).toMatchObject({ result: 'held', tests: 2 });
  expect(resultsOf(report('passed', 'failed'))[0]).toMatchObject({ result: 'FAILED' });
  expect(resultsOf(report())[0]).toMatchObject({ result: 'FAILED', tests: 0 });
  expect(resultsOf(report('skipped'))[0]).toMatchObject({ result: 'skipped' });
});
