// Generates the code of proto/, of etcd's API and of Envoy's (`generate`), or checks that it is up to date and that no
// change breaks older versions (`check`). Works without a network.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { generateXds, isXdsFresh, XDS_GENERATED } from './xds-proto.mjs';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
/** Ours, which older versions speak too, and the part of etcd's that we speak. */
const MODULES = [
  { folder: 'proto', template: 'buf.gen.yaml', generated: 'src/rpc/gen' },
  { folder: 'src/store/etcd/proto', template: 'buf.gen.etcd.yaml', generated: 'src/store/etcd/gen' },
];
/** What older versions speak. Replaced by `generate`, which refuses a breaking change first. */
const BASELINE = 'proto/baseline.binpb';

function buf(/** @type {string[]} */ ...args) {
  bufIn(ROOT, ...args);
}

function bufIn(/** @type {string} */ cwd, /** @type {string[]} */ ...args) {
  const { status, error } = spawnSync(join(ROOT, 'node_modules/.bin/buf'), args, { cwd, stdio: 'inherit' });
  if (error !== undefined) throw error;
  if (status !== 0) process.exit(status ?? 1);
}

function files(/** @type {string} */ folder) {
  return readdirSync(folder, { recursive: true })
    .map(String)
    .filter((name) => statSync(join(folder, name)).isFile())
    .sort();
}

function differences(/** @type {string} */ expected, /** @type {string} */ actual) {
  const names = new Set([...files(expected), ...files(actual)]);
  return [...names].filter((name) => {
    try {
      return !readFileSync(join(expected, name)).equals(readFileSync(join(actual, name)));
    } catch {
      return true; // only on one side
    }
  });
}

function check() {
  buf('lint');
  buf('breaking', 'proto', '--against', BASELINE);
  const fresh = mkdtempSync(join(tmpdir(), 'isthmus-proto-'));
  try {
    const stale = MODULES.flatMap(({ folder, template, generated }) => {
      buf('generate', folder, '--template', template, '--output', fresh);
      return differences(join(fresh, generated), join(ROOT, generated));
    });
    buf('build', 'proto', '--output', join(fresh, 'baseline.binpb'));
    if (!readFileSync(join(fresh, 'baseline.binpb')).equals(readFileSync(join(ROOT, BASELINE)))) stale.push(BASELINE);
    if (!isXdsFresh()) stale.push(XDS_GENERATED);
    if (stale.length > 0) {
      console.error(`not up to date, run "npm run generate": ${stale.map((name) => relative('.', name)).join(', ')}`);
      process.exit(1);
    }
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
}

function generate() {
  buf('lint');
  buf('breaking', 'proto', '--against', BASELINE);
  for (const { folder, template } of MODULES) buf('generate', folder, '--template', template);
  buf('build', 'proto', '--output', BASELINE);
  generateXds(bufIn);
}

const commands = { check, generate };
const command = /** @type {Readonly<Record<string, () => void>>} */ (commands)[process.argv[2] ?? ''];
if (command === undefined) {
  console.error('usage: node scripts/proto.mjs check|generate');
  process.exit(2);
}
command();
