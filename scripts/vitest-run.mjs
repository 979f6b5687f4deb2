import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * @typedef {object} Counts
 * @property {number} passed
 * @property {number} failed
 */

/** @typedef {import('./attacks.mjs').Report['testResults'][number] & { readonly status: string }} TestFile */

/**
 * @typedef {object} Report
 * @property {number} numPassedTests
 * @property {number} numFailedTests
 * @property {readonly TestFile[]} testResults
 */

/**
 * What a report says; a file that could not even be loaded has no tests to count, and counts as a failed one.
 * @param {Report | undefined} report undefined: there is none
 * @param {boolean} green whether the run ended with status 0
 * @returns {Counts}
 */
export function countsOf(report, green) {
  const passed = report?.numPassedTests ?? 0;
  const unloaded = report?.testResults.filter((file) => file.status === 'failed' && file.assertionResults.length === 0);
  const failed = (report?.numFailedTests ?? 0) + (unloaded?.length ?? 0);
  // An error outside of any test, or a run that tested nothing.
  if (failed === 0 && (!green || passed === 0)) return { passed, failed: 1 };
  return { passed, failed };
}

/**
 * Runs vitest, shows what it prints, and counts.
 * @param {string} root
 * @param {readonly string[]} args after `vitest run`
 * @param {{ readonly node?: string, readonly env?: NodeJS.ProcessEnv }} [options] absent: this Node, this environment
 * @returns {Counts & { readonly report: Report | undefined }}
 */
export function runVitest(root, args, { node = process.execPath, env = process.env } = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'isthmus-test-'));
  const file = join(folder, 'report.json');
  const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs');
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${file}`];
  try {
    const { status, error } = spawnSync(node, [vitest, 'run', ...reporters, ...args], {
      cwd: root,
      env,
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    if (error !== undefined) console.error(`--- ${node}: ${error.message}`);
    const report = existsSync(file) ? /** @type {Report} */ (JSON.parse(readFileSync(file, 'utf8'))) : undefined;
    return { ...countsOf(report, status === 0), report };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
