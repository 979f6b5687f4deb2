import { access, tokens } from './access.ts';
import { type Bed, ownBed, peerBed } from './bed.ts';
import { dns, queries } from './discovery-rows.ts';
import {
  bulkIntentions,
  type Figure,
  idleMemory,
  intentionDelay,
  leaves,
  type Row,
  reads,
  rotation,
  sidecars,
  starting,
  watchers,
} from './rows.ts';
import { store } from './store-rows.ts';
import { envoys, xds } from './xds-rows.ts';

/** In this order: what needs a quiet server comes before what fills it. */
const ROWS: Readonly<Record<string, Row>> = {
  starting,
  idleMemory,
  store,
  intentionDelay,
  bulk500: bulkIntentions(500, '≤ 0.2'),
  leaves,
  rotation,
  reads,
  dns,
  queries,
  access,
  tokens,
  watchers,
  sidecars,
  xds,
  envoys,
  bulk10000: bulkIntentions(10_000, '≤ 3'),
};

const only = process.argv.slice(2).filter((argument) => !argument.startsWith('-'));
const asJson = process.argv.includes('--json');

async function measure(start: () => Promise<Bed>): Promise<Map<string, Figure>> {
  const figures = new Map<string, Figure>();
  const bed = await start();
  try {
    for (const [name, row] of Object.entries(ROWS)) {
      if (only.length > 0 && !only.includes(name)) continue;
      process.stderr.write(`${bed.name}: ${name} …\n`);
      try {
        for (const figure of await row(bed)) figures.set(figure.what, figure);
      } catch (error) {
        process.stderr.write(`${bed.name}: ${name} failed: ${error instanceof Error ? error.message : error}\n`);
        process.exitCode = 1;
      }
    }
  } finally {
    await bed.stop().catch((error: unknown) => {
      process.stderr.write(`${bed.name} did not stop cleanly: ${error instanceof Error ? error.message : error}\n`);
      process.exitCode = 1;
    });
  }
  return figures;
}

const consul = process.env.CONSUL_BIN;
const own = await measure(ownBed);
const peer = consul === undefined ? undefined : await measure(() => peerBed(consul));

if (asJson) {
  process.stdout.write(
    `${JSON.stringify({ own: [...own.values()], peer: peer && [...peer.values()] }, undefined, 2)}\n`,
  );
} else {
  const table = [...own.values()].map((figure) => {
    const other = peer?.get(figure.what);
    return [
      figure.what,
      `${format(figure.value)} ${figure.unit}`.trim(),
      `n=${figure.samples}`,
      ...(peer === undefined ? [] : [other === undefined ? '–' : `${format(other.value)} ${other.unit}`]),
      ...(peer === undefined ? [] : [other === undefined ? '' : `${(figure.value / other.value).toFixed(2)}×`]),
      figure.goal,
    ];
  });
  const head = ['what', 'Isthmus', 'samples', ...(peer === undefined ? [] : ['Consul', 'ratio']), 'goal'];
  const widths = head.map((title, column) => Math.max(title.length, ...table.map((row) => row[column]?.length ?? 0)));
  for (const row of [head, ...table]) {
    process.stdout.write(
      `${row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd()}\n`,
    );
  }
}

function format(value: number): string {
  if (Number.isNaN(value)) return ''; // not measured; its unit says why
  return value >= 100 ? Math.round(value).toLocaleString('en-US') : value.toFixed(value >= 10 ? 1 : 2);
}
