/**
 * `npm test`: installs what is missing, checks, builds, runs all tests, and ends with the line `<N> passed, <N>
 * failed`. Works on a fresh clone with nothing but Node and npm. Arguments go to vitest; `--tier NAME` runs that tier
 * instead of the tests (scripts/tiers.mjs), and counts as one test.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { resultsOf } from './attacks.mjs';
import { installDependencies } from './install.mjs';
import { runTier } from './tiers.mjs';

const ROOT = join(import.meta.dirname, '..');
const [NEEDED_MAJOR, NEEDED_MINOR] = [20, 19];

let passed = 0;
let failed = 0;

/** Ends with the line that every run ends with. A step that did not hold counts as a failed test. */
function end() {
  if (passed === 0 && failed === 0) failed = 1;
  console.log(`${passed} passed, ${failed} failed`);
  process.exit(failed > 0 ? 1 : 0);
}

function step(/** @type {string} */ what, /** @type {string} */ command, /** @type {readonly string[]} */ args) {
  console.log(`--- ${what}`);
  const { status, error } = spawnSync(command, args, { cwd: ROOT, stdio: ['ignore', 'inherit', 'inherit'] });
  if (status === 0) return true;
  console.error(`--- ${what} failed${error === undefined ? '' : `: ${error.message}`}`);
  return false;
}

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < NEEDED_MAJOR || (major === NEEDED_MAJOR && minor < NEEDED_MINOR)) {
  console.error(`Node ${NEEDED_MAJOR}.${NEEDED_MINOR} or newer is needed; this is ${process.versions.node}`);
  failed = 1;
  end();
}

console.log('--- install');
if (!installDependencies()) {
  failed = 1;
  end();
}

// The tests run even when a check fails: one run shows all that is wrong. Without a build there is nothing to run.
if (!step('check', 'npm', ['run', '--silent', 'check'])) failed += 1;
if (!step('build', 'npm', ['run', '--silent', 'build'])) {
  failed += 1;
  end();
}

const at = process.argv.indexOf('--tier');
if (at > 0) {
  if (runTier(ROOT, process.argv[at + 1] ?? '')) passed += 1;
  else failed += 1;
  end();
}

const folder = mkdtempSync(join(tmpdir(), 'isthmus-test-'));
const report = join(folder, 'report.json');
const vitest = join(ROOT, 'node_modules', 'vitest', 'vitest.mjs');
const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
const green = step('tests', process.execPath, [vitest, 'run', ...reporters, ...process.argv.slice(2)]);
let attacks = /** @type {ReturnType<typeof resultsOf>} */ ([]);
if (existsSync(report)) {
  const results = JSON.parse(readFileSync(report, 'utf8'));
  const { numPassedTests, numFailedTests, testResults } = results;
  attacks = resultsOf(results);
  passed += numPassedTests;
  failed += numFailedTests;
  // A file that could not even be loaded has no tests to count.
  failed += testResults.filter(
    (/** @type {{ status: string, assertionResults: readonly unknown[] }} */ file) =>
      file.status === 'failed' && file.assertionResults.length === 0,
  ).length;
}
rmSync(folder, { recursive: true, force: true });
if (attacks.length > 0) {
  const held = attacks.filter(({ result }) => result === 'held').length;
  console.log(`attacks: ${held} of ${attacks.length} held (npm run attack shows each)`);
  for (const { attack, result } of attacks)
    if (result !== 'held') console.log(`  ${result}: ${attack.attack} (${attack.file})`);
}
if (!green && failed === 0) failed = 1; // an error outside of any test
end();
