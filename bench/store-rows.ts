import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../src/lib/clock.ts';
import type { Engine } from '../src/store/engine.ts';
import { openEtcdEngine } from '../src/store/etcd/etcd-engine.ts';
import { etcdMeters } from '../src/store/etcd/meters.ts';
import { openLmdbEngine } from '../src/store/lmdb/lmdb-engine.ts';
import { noLog, noMetrics } from '../src/telemetry/types.ts';
import { startEtcd, withoutEtcd } from '../test/harness/index.ts';
import { quantile } from './http-load.ts';
import { type Figure, numbers, parallel, type Row } from './rows.ts';

const ALONE = 500;
const TOGETHER = 5_000;
const WIDTH = 64;
const VALUE = JSON.stringify({ filler: 'x'.repeat(400) });

/** The store below everything, by engine: a write until it is durable, and until a watch shows it. */
export const store: Row = async (bed) => {
  if (!bed.own) return []; // it measures the code beside it, not the program
  const folder = mkdtempSync(join(tmpdir(), 'isthmus-bench-'));
  const figures: Figure[] = [];
  const embedded = await openLmdbEngine({
    path: join(folder, 'store'),
    clock: systemClock,
    onError: (what, error) => process.stderr.write(`${what}: ${error.message}\n`),
  });
  try {
    figures.push(...(await measure('embedded', embedded)));
  } finally {
    await embedded.close();
    rmSync(folder, { recursive: true });
  }
  if (withoutEtcd() !== undefined) return figures;
  const etcd = await startEtcd();
  try {
    const engine = await openEtcdEngine({
      ...{ endpoints: etcd.endpoints, prefix: 'bench', clock: systemClock, log: noLog },
      meters: etcdMeters(noMetrics, []),
    });
    figures.push(...(await measure('etcd, one member', engine)));
    await engine.close();
  } finally {
    await etcd.stop();
  }
  return figures;
};

async function measure(name: string, engine: Engine): Promise<Figure[]> {
  const ending = new AbortController();
  const seenAt = new Map<number, number>();
  const watching = (async () => {
    for await (const { revision } of engine.watch({ prefix: '', fromRevision: 1, signal: ending.signal })) {
      seenAt.set(revision, performance.now());
    }
  })().catch(() => undefined); // ends with the signal
  const write = async (
    n: number,
  ): Promise<{ readonly tookMs: number; readonly begun: number; readonly at: number }> => {
    const key = `row/${n % 1_000}`;
    const begun = performance.now();
    const { revision } = await engine.txn({ compare: [], ops: [{ type: 'put', key, value: VALUE }] });
    return { tookMs: performance.now() - begun, begun, at: revision };
  };
  for (const n of numbers(100)) await write(n); // warm
  const alone: Awaited<ReturnType<typeof write>>[] = [];
  for (const n of numbers(ALONE)) alone.push(await write(n));
  const begun = performance.now();
  await parallel(numbers(TOGETHER), WIDTH, write);
  const seconds = (performance.now() - begun) / 1_000;
  const shown = alone.flatMap(({ at, begun: from }) => {
    const seen = seenAt.get(at);
    return seen === undefined ? [] : [seen - from];
  });
  ending.abort();
  await watching;
  const took = alone.map(({ tookMs }) => tookMs);
  return [
    {
      what: `store (${name}): a write alone, p50`,
      unit: 'ms',
      value: quantile(took, 0.5),
      samples: ALONE,
      goal: 'one sync',
    },
    { what: '… p99', unit: 'ms', value: quantile(took, 0.99), samples: ALONE, goal: '' },
    {
      what: '… from its start until a watch shows it, p50',
      unit: 'ms',
      value: quantile(shown, 0.5),
      samples: shown.length,
      goal: '',
    },
    { what: `… ${WIDTH} writers`, unit: 'writes/s', value: TOGETHER / seconds, samples: TOGETHER, goal: '' },
  ].map((figure) => ({
    ...figure,
    what: figure.what.startsWith('…') ? `store (${name}) ${figure.what}` : figure.what,
  }));
}
