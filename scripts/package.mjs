/**
 * `npm run package`: makes dist/package/isthmus-<version>-<platform>-<arch>.tar.gz, which runs wherever Node 20.19 or
 * newer is, with nothing to install: the program, `isthmus/connect`, the native part of its store, example
 * configuration and systemd units. The same sources give the same bytes. With `--built` it takes the build that is
 * there.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const ROOT = join(import.meta.dirname, '..');
const OUT = join(ROOT, 'dist', 'package');
/** Whatever the bundle leaves out: it finds native code beside its own files. */
const NATIVE = 'lmdb';

const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
const lock = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')).packages;
const name = `isthmus-${manifest.version}`;
const stage = join(OUT, name);

if (!process.argv.includes('--built')) run('npm', ['run', '--silent', 'build']);
rmSync(OUT, { recursive: true, force: true });
mkdirSync(stage, { recursive: true });
for (const file of ['bin/isthmus', 'LICENSE', 'CHANGELOG.md', 'packaging', 'docs']) copy(file);
for (const file of bundled('main.js')) copy(join('dist', 'bundle', file));
for (const folder of ['dist/connect', 'examples']) copy(folder);
for (const dependency of closure(NATIVE)) copy(join('node_modules', dependency));
const { license, type, engines, bin, exports } = manifest;
const own = { name: manifest.name, version: manifest.version, license, type, engines, bin, exports, private: true };
writeFileSync(join(stage, 'package.json'), `${JSON.stringify(own, undefined, 2)}\n`);

const archive = join(OUT, `${name}-${process.platform}-${process.arch}.tar.gz`);
const fixed = ['--sort=name', '--mtime=@1000000000', '--owner=0', '--group=0', '--numeric-owner', '--mode=go-w'];
run('tar', [...fixed, '-C', OUT, '-I', 'gzip -n', '-cf', archive, name]);
console.log(archive);

function copy(/** @type {string} */ path) {
  mkdirSync(dirname(join(stage, path)), { recursive: true });
  cpSync(join(ROOT, path), join(stage, path), { recursive: true, dereference: true });
}

/** The entry and what it leads to; files of earlier builds lie beside them. */
function bundled(/** @type {string} */ entry) {
  const found = new Set();
  const follow = (/** @type {string} */ file) => {
    const path = join(ROOT, 'dist', 'bundle', file);
    if (found.has(file) || !existsSync(path)) return; // texts in comments look like imports too
    found.add(file);
    const text = readFileSync(path, 'utf8');
    for (const [, next] of text.matchAll(/(?:from|import)\s*\(?\s*["']\.\/([^"']+\.js)["']/g)) follow(String(next));
  };
  follow(entry);
  return found;
}

/** A package and all that it needs and that is installed on this platform. */
function closure(/** @type {string} */ start) {
  const found = new Set();
  const follow = (/** @type {string} */ dependency) => {
    const path = `node_modules/${dependency}`;
    if (found.has(dependency) || lock[path] === undefined || !existsSync(join(ROOT, path))) return;
    found.add(dependency);
    const { dependencies, optionalDependencies } = lock[path];
    for (const next of Object.keys({ ...dependencies, ...optionalDependencies })) follow(String(next));
  };
  follow(start);
  return found;
}

function run(/** @type {string} */ command, /** @type {readonly string[]} */ args) {
  const { status, error } = spawnSync(command, args, { cwd: ROOT, stdio: ['ignore', 'inherit', 'inherit'] });
  if (status === 0) return;
  console.error(`${command} failed${error === undefined ? '' : `: ${error.message}`}`);
  process.exit(1);
}
