import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runTier, TIERS, type Tier, tiersOf } from './tiers.mjs';
import { countsOf, type Report } from './vitest-run.mjs';

const ROOT = join(import.meta.dirname, '..');

function report(passed: number, failed: number, unloaded = 0): Report {
  const files = Array.from({ length: unloaded }, () => ({ name: 'a', status: 'failed', assertionResults: [] }));
  return { numPassedTests: passed, numFailedTests: failed, testResults: files };
}

describe('what a run of tests counts as', () => {
  it.each([
    ['all passed', report(7, 0), true, { passed: 7, failed: 0 }],
    ['some failed', report(7, 2), false, { passed: 7, failed: 2 }],
    ['files that could not be loaded', report(7, 0, 2), false, { passed: 7, failed: 2 }],
    ['an error outside of any test', report(7, 0), false, { passed: 7, failed: 1 }],
    ['no tests at all', report(0, 0), true, { passed: 0, failed: 1 }],
    ['a run that wrote no report', undefined, false, { passed: 0, failed: 1 }],
  ])('%s', (_what, given, green, counts) => {
    expect(countsOf(given, green)).toEqual(counts);
  });
});

describe('tiers', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'isthmus-tiers-'));
    writeFileSync(join(folder, 'good.mjs'), '');
    writeFileSync(join(folder, 'bad.mjs'), 'process.exitCode = 3;');
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const run = (steps: Tier['steps'], more: Partial<Tier> = {}): ReturnType<typeof runTier> =>
    runTier(folder, 'one', { one: { about: 'a test', steps, ...more } });

  it('a script counts as one test, and the next one runs also after one that failed', () => {
    expect(run([{ script: ['bad.mjs'] }, { script: ['good.mjs'] }])).toEqual({ passed: 1, failed: 1 });
  });

  it('a tier that is not there has failed', () => {
    expect(runTier(folder, 'constructor')).toEqual({ passed: 0, failed: 1 });
  });

  it('a Node that can not be had is a failure, and nothing is skipped', () => {
    const before = { ...process.env };
    Object.assign(process.env, { npm_config_registry: 'http://127.0.0.1:1', npm_config_fetch_retries: '0' });
    try {
      expect(run([{ script: ['good.mjs'] }], { node: '24' })).toEqual({ passed: 0, failed: 1 });
    } finally {
      process.env = before;
    }
  });

  it('CI runs tiers that are there, one for each newer line of Node', () => {
    const ci = readFileSync(join(ROOT, '.ci', 'run'), 'utf8');
    const args = /^npm test -- (.*)$/m.exec(ci)?.[1]?.split(' ') ?? [];
    const { only, also, rest } = tiersOf(args);
    expect([only, rest]).toEqual([[], []]);
    expect(also.map((name) => TIERS[name]?.node)).toEqual(['24', '26']);
  });
});
