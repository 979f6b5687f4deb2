/**
 * `npm test`: installs what is missing, checks, builds, runs all tests, and ends with the line `<N> passed, <N>
 * failed`. Works on a fresh clone with nothing but Node and npm. `--tier NAME` runs that tier (scripts/tiers.mjs)
 * instead of the tests, `--and-tier NAME` after them; both may be repeated. Other arguments go to vitest.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { resultsOf } from './attacks.mjs';
import { installDependencies } from './install.mjs';
import { runTier, tiersOf } from './tiers.mjs';
import { runVitest } from './vitest-run.mjs';

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

const { only, also, rest } = tiersOf(process.argv.slice(2));
if (only.length > 0) {
  runTiers(only);
  end();
}

console.log('--- tests');
const tests = runVitest(ROOT, rest);
passed += tests.passed;
failed += tests.failed;
if (tests.failed > 0) console.error('--- tests failed');
const attacks = tests.report === undefined ? [] : resultsOf(tests.report);
if (attacks.length > 0) {
  const held = attacks.filter(({ result }) => result === 'held').length;
  console.log(`attacks: ${held} of ${attacks.length} held (npm run attack shows each)`);
  for (const { attack, result } of attacks)
    if (result !== 'held') console.log(`  ${result}: ${attack.attack} (${attack.file})`);
}
runTiers(also);
end();

function runTiers(/** @type {readonly string[]} */ names) {
  for (const name of names) {
    const counts = runTier(ROOT, name);
    passed += counts.passed;
    failed += counts.failed;
    console.log(`--- tier ${name}: ${counts.passed} passed and ${counts.failed} failed`);
  }
}
