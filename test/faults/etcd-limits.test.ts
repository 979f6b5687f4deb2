import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/lib/clock.ts';
import type { Engine } from '../../src/store/engine.ts';
import { Store } from '../../src/store/store.ts';
import { assertNoneLeft, type EtcdCluster, startEtcd, waitFor, wanProxy, withoutEtcd } from '../harness/index.ts';
import { openEtcd } from './etcd-load.ts';

let etcd: EtcdCluster;
let engines: Engine[] = [];

afterEach(async () => {
  await Promise.all(engines.map((engine) => engine.close()));
  engines = [];
  await etcd.stop();
  await assertNoneLeft();
});

async function open(endpoint: string): Promise<Engine> {
  const engine = await openEtcd([endpoint], 'limits/dc1');
  engines.push(engine);
  return engine;
}

interface Item {
  readonly id: string;
  readonly n: number;
}

const put = (engine: Engine, id: string, n: number, filler = ''): ReturnType<Engine['txn']> =>
  engine.txn({
    compare: [],
    ops: [{ type: 'put', key: `items/${id}`, value: JSON.stringify({ id, n, ...(filler === '' ? {} : { filler }) }) }],
  });

// Skipped only where there is no etcd, which says so; in CI that is an error.
describe.skipIf(withoutEtcd() !== undefined)('etcd at its limits', () => {
  it('history compacted past a server that was cut off: it reads everything anew and shows the same', async () => {
    etcd = await startEtcd();
    const direct = (etcd.endpoints[0] ?? '').replace('http://', '');
    const wan = await wanProxy(direct);
    const [cut, other] = [await open(wan.address), await open(direct)];
    const store = new Store({ engine: cut, clock: systemClock, onError: (_what, error) => expect.fail(error.message) });
    const items = store.table<Item>({ name: 'items', key: ({ id }) => id });
    await store.start(new AbortController().signal);
    await put(other, 'gone', 0);
    await waitFor(async () => items.get('gone') !== undefined, { what: 'the first row' });
    let loads = 0;
    store.onCommit(({ changes }) => {
      if (changes.length > 1) loads += 1;
    });
    wan.blackHole();
    for (let n = 1; n <= 300; n += 1) await put(other, `k${n % 20}`, n);
    await other.txn({ compare: [], ops: [{ type: 'delete', key: 'items/gone' }] });
    const newest = await other.currentRevision();
    await other.compact(newest);
    wan.reset();
    wan.heal();
    await store.waitFor(newest);
    expect(loads).toBe(1);
    expect(items.get('gone')).toBeUndefined();
    const { rows } = await other.range({ prefix: 'items/' });
    expect(items.list().map(({ value, modRevision }) => [value, modRevision])).toEqual(
      rows.map(({ value, modRevision }) => [JSON.parse(value), modRevision]),
    );
    await put(other, 'later', 1);
    await waitFor(async () => items.get('later') !== undefined, { what: 'what came later' });
    await store.stop();
    await cut.close();
    await wan.close();
  });

  it('database full: writes say what to do, reads and watches go on, and writes when there is room again', async () => {
    etcd = await startEtcd({ args: ['--quota-backend-bytes', '4194304'] });
    const engine = await open(etcd.endpoints[0] ?? '');
    const ending = new AbortController();
    let seen = 0;
    const watching = (async () => {
      for await (const _ of engine.watch({ prefix: '', fromRevision: 1, signal: ending.signal })) seen += 1;
    })().catch(() => undefined);
    let acknowledged = 0;
    let refused: unknown;
    while (refused === undefined && acknowledged < 1_000) {
      await put(engine, 'big', acknowledged, 'x'.repeat(50_000)).then(
        () => (acknowledged += 1),
        (error: unknown) => (refused = error),
      );
    }
    expect(refused).toMatchObject({
      code: 'unavailable',
      message: expect.stringMatching(/database is full .*--quota-backend-bytes.*etcdctl alarm disarm/),
    });
    const { rows } = await engine.range({ prefix: 'items/' });
    expect((JSON.parse(rows[0]?.value ?? '') as Item).n).toBe(acknowledged - 1);
    await waitFor(async () => seen === acknowledged, { what: 'the watch to have seen all' });
    expect(engine.contact().connected).toBe(true);

    await engine.compact(await engine.currentRevision());
    etcd.ctl('defrag');
    etcd.ctl('alarm', 'disarm');
    const { revision } = await put(engine, 'big', acknowledged);
    expect(revision).toBeGreaterThan(rows[0]?.modRevision ?? 0);
    await waitFor(async () => seen === acknowledged + 1, { what: 'the watch to go on' });
    ending.abort();
    await watching;
  });
});
