/**
 * Consul's own clients, that the tests use as people do. `node scripts/clients.mjs [name…]` brings them into the user's
 * cache (ISTHMUS_CACHE, else ~/.cache/isthmus) and prints where they are; without names all.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '..');
const GO_SOURCES = join(ROOT, 'test', 'clients', 'go');
const CACHE = process.env.ISTHMUS_CACHE ?? join(homedir(), '.cache', 'isthmus');

/**
 * @typedef {object} Client
 * @property {string} version part of the folder's name
 * @property {string} file what is there once it is installed, within the folder
 * @property {(folder: string) => void} install
 */

/** @type {Readonly<Record<string, Client>>} */
const CLIENTS = {
  // The version of github.com/hashicorp/consul/api stands in its go.mod.
  go: {
    version: goVersion(),
    file: 'exercise',
    install: (folder) => run('go', ['build', '-trimpath', '-o', `${folder}/`, './exercise', './fields'], GO_SOURCES),
  },
  python: {
    version: '1.8.0',
    file: 'consul',
    install: (folder) =>
      run('python3', ['-m', 'pip', 'install', '--quiet', '--no-input', '--target', folder, 'py-consul==1.8.0']),
  },
  node: {
    version: '2.0.1',
    file: 'node_modules/consul',
    install: (folder) =>
      run('npm', ['install', '--prefix', folder, '--no-save', '--no-audit', '--no-fund', '--silent', 'consul@2.0.1']),
  },
  'consul-template': {
    version: 'v0.41.1',
    file: 'consul-template',
    install: (folder) =>
      run('go', ['install', '-trimpath', 'github.com/hashicorp/consul-template@v0.41.1'], undefined, { GOBIN: folder }),
  },
};

/**
 * Where a client is, and whether it is there.
 * @param {string} name
 * @returns {{ readonly folder: string, readonly path: string, readonly present: boolean }}
 */
export function findClient(name) {
  const client = clientOf(name);
  const folder = join(CACHE, `client-${name}-${client.version}`);
  const path = join(folder, client.file);
  return { folder, path, present: existsSync(path) };
}

/** Brings a client into the cache. Throws with what went wrong. */
function installClient(/** @type {string} */ name) {
  const found = findClient(name);
  if (found.present) return found;
  mkdirSync(CACHE, { recursive: true });
  const work = mkdtempSync(join(CACHE, 'new-'));
  try {
    clientOf(name).install(work);
    rmSync(found.folder, { recursive: true, force: true });
    renameSync(work, found.folder);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return findClient(name);
}

function clientOf(/** @type {string} */ name) {
  const client = Object.hasOwn(CLIENTS, name) ? CLIENTS[name] : undefined;
  if (client === undefined) throw new Error(`there is no client ${name}; there are ${Object.keys(CLIENTS).join(', ')}`);
  return client;
}

/** A name for what the Go programs are built from. */
function goVersion() {
  const hash = createHash('sha256');
  for (const folder of ['.', 'exercise', 'fields'])
    for (const name of readdirSync(join(GO_SOURCES, folder)).sort())
      if (/\.(go|mod|sum)$/.test(name)) hash.update(name).update(readFileSync(join(GO_SOURCES, folder, name)));
  return hash.digest('hex').slice(0, 12);
}

/**
 * @param {string} command
 * @param {readonly string[]} args
 * @param {string} [cwd]
 * @param {Readonly<Record<string, string>>} [env]
 */
function run(command, args, cwd = ROOT, env = {}) {
  const options = { cwd, env: { ...process.env, ...env }, encoding: /** @type {const} */ ('utf8') };
  const { status, stderr, error } = spawnSync(command, args, options);
  if (error !== undefined) throw new Error(`${command}: ${error.message}`);
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} failed: ${stderr.slice(-2_000)}`);
}

if (process.argv[1] === import.meta.filename) {
  const named = process.argv.slice(2);
  for (const name of named.length > 0 ? named : Object.keys(CLIENTS))
    console.log(`${name} ${installClient(name).path}`);
}
