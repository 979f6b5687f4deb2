/**
 * `npm run check`: everything that says in seconds whether a change fits. The steps run beside each other, as many as
 * there are processors; each one that fails is shown whole, with the command that repeats it. Arguments pick steps by
 * their name.
 */
import { spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { delimiter, join } from 'node:path';

const ROOT = join(import.meta.dirname, '..');
const BIN = join(ROOT, 'node_modules', '.bin');

/** The slowest first. @type {readonly (readonly [name: string, command: string])[]} */
const STEPS = [
  ['lint with types', 'oxlint --type-aware src test scripts bench demo'],
  ['types', 'tsc -p tsconfig.json --noEmit'],
  ['format and lint', 'biome check .'],
  ['metrics page', 'node scripts/metrics-docs.mjs check'],
  ['what is unused', 'knip --cache --no-progress'],
  ['generated code', 'node scripts/proto.mjs check'],
  ['types of scripts', 'tsc -p tsconfig.scripts.json'],
  ['configuration page', 'node scripts/config-docs.mjs check'],
  ['API page', 'node scripts/api-docs.mjs check'],
  ['page of Envoy keys', 'node scripts/envoy-keys-docs.mjs check'],
  ['compatibility page', 'node scripts/compatibility-docs.mjs check'],
  ['imports', 'node scripts/check-imports.mjs'],
  ['columns', 'node scripts/check-columns.mjs'],
];

/**
 * @param {string} name
 * @param {string} command
 * @returns {Promise<boolean>} whether it held
 */
function run(name, command) {
  const started = performance.now();
  const [program = '', ...args] = command.split(' ');
  const path = `${BIN}${delimiter}${process.env.PATH ?? ''}`;
  const child = spawn(program === 'node' ? process.execPath : program, args, {
    cwd: ROOT,
    env: { ...process.env, PATH: path },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (output += text));
  return new Promise((resolve) => {
    child.once('error', (error) => (output += error.message));
    child.once('close', (status) => {
      const seconds = ((performance.now() - started) / 1_000).toFixed(1);
      if (status === 0) console.log(`ok    ${name} (${seconds} s)`);
      else console.error(`\nFAIL  ${name}: ${command}\n${output.trimEnd()}\n`);
      resolve(status === 0);
    });
  });
}

const wanted = process.argv.slice(2);
const waiting = STEPS.filter(([name]) => wanted.length === 0 || wanted.includes(name));
/** @type {string[]} */
const failed = [];
const work = async () => {
  for (let step = waiting.shift(); step !== undefined; step = waiting.shift())
    if (!(await run(...step))) failed.push(step[0]);
};
await Promise.all(Array.from({ length: Math.max(2, availableParallelism()) }, work));
if (failed.length > 0) {
  console.error(`check: ${failed.length} failed: ${failed.join(', ')}`);
  process.exitCode = 1;
}
