/**
 * Installs the dependencies when they are missing. `npm ci` refuses a lock file that was made where some platforms'
 * optional packages were not to be had; `npm install --no-save` then takes every version that the lock file names and
 * changes no file.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '..');
const QUIET = ['--no-audit', '--no-fund', '--loglevel=error'];

/** Resolves to true once the dependencies are there. */
export function installDependencies() {
  if (existsSync(join(ROOT, 'node_modules', '.package-lock.json'))) return true;
  const clean = spawnSync('npm', ['ci', ...QUIET], { cwd: ROOT, stdio: 'ignore' });
  if (clean.status === 0) return true;
  const kept = ['install', '--no-save', ...QUIET];
  return spawnSync('npm', kept, { cwd: ROOT, stdio: ['ignore', 'inherit', 'inherit'] }).status === 0;
}

if (process.argv[1] === import.meta.filename && !installDependencies()) process.exitCode = 1;
