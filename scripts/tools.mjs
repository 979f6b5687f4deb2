/**
 * Installs what is missing and builds the program and its tools (benchmarks, simulation); ends the process when that
 * fails.
 */
import { spawnSync } from 'node:child_process';
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { installDependencies } from './install.mjs';

export const ROOT = join(import.meta.dirname, '..');

export function buildTools() {
  if (!installDependencies()) process.exit(1);
  run('npm', ['run', '--silent', 'build']);
  run(join(ROOT, 'node_modules', '.bin', 'tsc'), ['-p', 'tsconfig.tools.json']);
  copyScripts();
}

/** The harness imports scripts that are no TypeScript (`envoy.mjs`): tsc leaves these where they are. */
export function copyScripts() {
  cpSync(join(ROOT, 'scripts'), join(ROOT, '.tmp', 'tools', 'scripts'), { recursive: true });
}

function run(/** @type {string} */ command, /** @type {readonly string[]} */ args) {
  const { status } = spawnSync(command, args, { cwd: ROOT, stdio: ['ignore', 'ignore', 'inherit'] });
  if (status !== 0) process.exit(status ?? 1);
}
