import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { buildRelease } from '../test/harness/previous-release.ts';
import { access, tokens } from './access.ts';
import { consul, isthmus } from './bed.ts';
import { dns, queries } from './discovery-rows.ts';
import { kv } from './kv-rows.ts';
import { measureRows } from './rounds.ts';
import { bulkIntentions, idleMemory, intentionDelay, leaves, type Row, reads, rotation, starting } from './rows.ts';
import { sidecars } from './sidecar-rows.ts';
import { store } from './store-rows.ts';
import { table } from './table.ts';
import { watchers, writers } from './write-rows.ts';
import { envoys, xds } from './xds-rows.ts';

/** Measured when no row is named. */
const MAIN: Readonly<Record<string, Row>> = {
  starting,
  idleMemory,
  intentionDelay,
  bulk500: bulkIntentions(500, '≤ 0.2'),
  writers,
  leaves,
  rotation,
  reads,
  dns,
  queries,
  kv,
  watchers,
  sidecars,
};

/** Long, or about Isthmus alone: `all` names these too. */
const OTHERS: Readonly<Record<string, Row>> = {
  store,
  access,
  tokens,
  xds,
  envoys,
  bulk10000: bulkIntentions(10_000, '≤ 3'),
};

const ROWS = { ...MAIN, ...OTHERS };
const ROUNDS = 3;
const TIMEOUT_S = 120;

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    compare: { type: 'string' },
    rounds: { type: 'string', default: String(ROUNDS) },
    timeout: { type: 'string', default: String(TIMEOUT_S) },
    json: { type: 'boolean', default: false },
  },
});

function chosen(): ReadonlyMap<string, Row> {
  if (positionals.length === 0) return new Map(Object.entries(MAIN));
  if (positionals.includes('all')) return new Map(Object.entries(ROWS));
  const known = new Map(Object.entries(ROWS));
  const unknown = positionals.filter((name) => !known.has(name));
  if (unknown.length > 0)
    throw new Error(`no such row: ${unknown.join(', ')}; there are ${[...known.keys()].join(', ')} and all`);
  return new Map([...known].filter(([name]) => positionals.includes(name)));
}

function positive(name: 'rounds' | 'timeout'): number {
  const value = Number(options[name]);
  if (!Number.isInteger(value) || value < 1) throw new Error(`--${name} takes a whole number from 1 on`);
  return value;
}

const root = process.cwd(); // scripts/bench.mjs sees to it; this file runs from a folder of built tools
const rows = chosen();
const programs = [isthmus('Isthmus', join(root, 'bin', 'isthmus'), true)];
if (options.compare !== undefined) {
  process.stderr.write(`building ${options.compare} …\n`);
  programs.push(isthmus(options.compare, buildRelease(options.compare, root), false));
}
const peer = process.env.CONSUL_BIN;
if (peer !== undefined && peer !== '') programs.push(consul(peer));

const begun = Date.now();
const results = await measureRows({
  programs,
  rows,
  rounds: positive('rounds'),
  timeoutMs: positive('timeout') * 1_000,
  onProgress: (line) => process.stderr.write(`${((Date.now() - begun) / 1_000).toFixed(0).padStart(5)} s  ${line}\n`),
});

if (options.json) {
  const measured = results.measured.map((of) => ({ ...of, values: Object.fromEntries(of.values) }));
  process.stdout.write(`${JSON.stringify({ ...results, measured }, undefined, 2)}\n`);
} else
  process.stdout.write(
    table(
      results,
      programs.map(({ name }) => name),
    ),
  );
// What a row that timed out was waiting for may hold this process.
process.exit(results.failures.length > 0 ? 1 : 0);
