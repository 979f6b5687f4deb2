// `npm run attack`: builds, runs the attacks of scripts/attacks.mjs against running processes, and prints what became
// of each.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ATTACKS, resultsOf } from './attacks.mjs';

const root = join(import.meta.dirname, '..');
const folder = mkdtempSync(join(tmpdir(), 'isthmus-attack-'));
const report = join(folder, 'report.json');
const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs');
const files = [...new Set(ATTACKS.map(({ file }) => file))];

const built = spawnSync('npm', ['run', '--silent', 'build'], { cwd: root, stdio: 'inherit' });
if (built.status !== 0) process.exit(1);
console.log(`Attacks from ${files.length} files run against processes of this build; that takes some minutes.\n`);
const args = ['run', '--reporter=json', `--outputFile.json=${report}`, ...files];
const { stdout, stderr } = spawnSync(process.execPath, [vitest, ...args], { cwd: root, encoding: 'utf8' });
let results;
try {
  results = resultsOf(JSON.parse(readFileSync(report, 'utf8')));
} catch {
  console.error(`${stdout}${stderr}`);
  process.exit(1);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
let who = '';
const attackers = [...new Set(ATTACKS.map((attack) => attack.who))];
results.sort((a, b) => attackers.indexOf(a.attack.who) - attackers.indexOf(b.attack.who));
for (const { attack, result, tests } of results) {
  if (attack.who !== who) console.log(`\n${attack.who}`);
  who = attack.who;
  console.log(`  ${result.padEnd(7)}  ${attack.attack}`);
  console.log(`           tried: ${attack.tried}`);
  console.log(`           ${attack.file}: "${attack.title.trim()}" (${tests} ${tests === 1 ? 'test' : 'tests'})`);
}
const count = (/** @type {string} */ wanted) => results.filter(({ result }) => result === wanted).length;
const failed = count('FAILED') + ATTACKS.length - results.length;
console.log(`\n${count('held')} held, ${failed} failed, ${count('skipped')} skipped`);
process.exit(failed === 0 ? 0 : 1);
