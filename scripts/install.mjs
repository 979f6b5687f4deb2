/**
 * Installs the dependencies when one is missing or has another version (after a pull). `npm ci` refuses a lock file
 * that was made where some platforms' optional packages were not to be had; `npm install --no-save` then takes every
 * version that the lock file names and changes no file.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '..');
const QUIET = ['--no-audit', '--no-fund', '--loglevel=error'];

function read(/** @type {string[]} */ ...path) {
  return JSON.parse(readFileSync(join(...path), 'utf8'));
}

/**
 * True when each direct dependency is there in the version that package.json pins.
 * @param {string} root of a checkout
 * @param {string} [modules] where they are looked for
 */
export function isInstalled(root, modules = join(root, 'node_modules')) {
  const { dependencies, devDependencies } = read(root, 'package.json');
  try {
    return Object.entries({ ...dependencies, ...devDependencies }).every(
      ([name, version]) => read(modules, name, 'package.json').version === version,
    );
  } catch {
    return false; // one is missing
  }
}

/**
 * True once the dependencies are there.
 * @param {string} [root] of a checkout
 */
export function installDependencies(root = ROOT) {
  if (isInstalled(root)) return true;
  const clean = spawnSync('npm', ['ci', ...QUIET], { cwd: root, stdio: 'ignore' });
  if (clean.status === 0) return true;
  const kept = ['install', '--no-save', ...QUIET];
  return spawnSync('npm', kept, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] }).status === 0;
}

if (process.argv[1] === import.meta.filename && !installDependencies()) process.exitCode = 1;
