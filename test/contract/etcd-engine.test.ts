import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/lib/clock.ts';
import type { Commit, Engine, Op, Txn } from '../../src/store/engine.ts';
import { type EtcdEngineOptions, openEtcdEngine } from '../../src/store/etcd/etcd-engine.ts';
import { etcdMeters } from '../../src/store/etcd/meters.ts';
import { Store } from '../../src/store/store.ts';
import { noLog, noMetrics } from '../../src/telemetry/types.ts';
import { assertNoneLeft, type EtcdCluster, startEtcd, waitFor, wanProxy, withoutEtcd } from '../harness/index.ts';

const put = (key: string, value = '1', lease?: string): Op =>
  lease === undefined ? { type: 'put', key, value } : { type: 'put', key, value, lease };
const writes = (...ops: Op[]): Txn => ({ compare: [], ops });
const numbered = (count: number, text = 'k'): string[] =>
  Array.from({ length: count }, (_, n) => `${text}/${String(n).padStart(5, '0')}`);

// Skipped only where there is no etcd, which says so; in CI that is an error.
describe.skipIf(withoutEtcd() !== undefined)('the etcd engine', () => {
  let etcd: EtcdCluster;
  let engines: Engine[] = [];
  let stores = 0;

  beforeAll(async () => {
    etcd = await startEtcd();
  });

  afterEach(async () => {
    await Promise.all(engines.map((engine) => engine.close()));
    engines = [];
  });

  afterAll(async () => {
    await etcd.stop();
    await assertNoneLeft();
  });

  const open = async (options: Partial<EtcdEngineOptions> = {}): Promise<Engine> => {
    stores += 1;
    const engine = await openEtcdEngine({
      endpoints: etcd.endpoints,
      prefix: `test/${stores}`,
      clock: systemClock,
      log: noLog,
      meters: etcdMeters(noMetrics, []),
      ...options,
    });
    engines.push(engine);
    return engine;
  };

  async function first(engine: Engine, fromRevision: number): Promise<Commit | undefined> {
    const ending = new AbortController();
    for await (const commit of engine.watch({ prefix: '', fromRevision, signal: ending.signal })) {
      ending.abort();
      return commit;
    }
    return undefined;
  }

  describe('large transactions', () => {
    it.each([127, 128, 200, 4_000, 10_000])('write %i rows in one commit', async (count) => {
      const engine = await open();
      const keys = numbered(count);
      const { succeeded, revision } = await engine.txn(writes(...keys.map((key) => put(key))));
      expect(succeeded).toBe(true);
      const commit = await first(engine, revision);
      expect(commit?.revision).toBe(revision);
      expect(commit?.changes.map(({ key }) => key)).toEqual(keys);
      const deleted = await engine.txn(writes(...keys.map((key): Op => ({ type: 'delete', key }))));
      expect((await first(engine, deleted.revision))?.changes).toHaveLength(count);
      expect((await engine.range({ prefix: '' })).rows).toEqual([]);
    });

    it('compare as many rows as they like', async () => {
      const engine = await open();
      const keys = numbered(6_000);
      const { revision } = await engine.txn(writes(...keys.map((key) => put(key))));
      const all = keys.map((key) => ({ key, modRevision: revision }));
      const none = { key: 'none', modRevision: 0 };
      expect((await engine.txn({ compare: [...all, none], ops: [] })).succeeded).toBe(true);
      expect((await engine.txn({ compare: [...all, none], ops: [put('a')] })).succeeded).toBe(true);
      await engine.txn(writes(put('k/03000', '2')));
      expect((await engine.txn({ compare: all, ops: [put('a', '2')] })).succeeded).toBe(false);
      expect((await engine.txn({ compare: all, ops: [] })).succeeded).toBe(false);
      await engine.txn(writes({ type: 'delete', key: 'k/03000' }));
      const rest = all.filter(({ key }) => key !== 'k/03000');
      const gone = { key: 'k/03000', modRevision: 0 };
      expect((await engine.txn({ compare: [...rest, gone], ops: [put('a', '3')] })).succeeded).toBe(true);
      const ended = (await engine.range({ prefix: 'a' })).rows;
      expect(ended.map(({ value }) => value)).toEqual(['3']);
    });

    it('see what others write, and leases that end, while they are compared', async () => {
      const engine = await open();
      const keys = numbered(300);
      await engine.txn(writes(...keys.map((key) => put(key, '0'))));
      // Each adds one to every row, if none has changed: what succeeds must never be lost.
      const add = async (): Promise<boolean> => {
        const { rows } = await engine.range({ prefix: 'k/' });
        const compare = rows.map(({ key, modRevision }) => ({ key, modRevision }));
        const ops = rows.map(({ key, value }) => put(key, String(Number(value) + 1)));
        return (await engine.txn({ compare, ops })).succeeded;
      };
      const done = await Promise.all(Array.from({ length: 8 }, add));
      const wins = done.filter((won) => won).length;
      expect(wins).toBeGreaterThan(0);
      const values = new Set((await engine.range({ prefix: 'k/' })).rows.map(({ value }) => value));
      expect(values).toEqual(new Set([String(wins)]));

      const lease = await engine.grantLease(60_000);
      const leader = await engine.txn(writes(put('leader', 'me', lease.id)));
      const { rows } = await engine.range({ prefix: 'k/' });
      const fenced: Txn = {
        compare: [...rows, { key: 'leader', modRevision: leader.revision }],
        ops: [put('x')],
      };
      expect((await engine.txn(fenced)).succeeded).toBe(true);
      await engine.revokeLease(lease.id);
      expect((await engine.txn(fenced)).succeeded).toBe(false);
    });

    it('are refused when they are larger than etcd takes, with nothing written', async () => {
      const engine = await open();
      await engine.txn(writes(put('a')));
      const large = writes(put('a', '2'), ...numbered(40).map((key) => put(key, 'x'.repeat(100_000))));
      await expect(engine.txn(large)).rejects.toMatchObject({
        code: 'too_large',
        message: expect.stringContaining('--max-request-bytes'),
      });
      expect((await engine.range({ prefix: '' })).rows.map(({ key, value }) => [key, value])).toEqual([['a', '1']]);
      expect((await engine.txn(writes(put('a', '3')))).succeeded).toBe(true);
    });
  });

  describe('over a network that breaks', () => {
    it('applies each write once, whose answer was lost or not, and leaves nothing out of a watch', async () => {
      const wan = await wanProxy((etcd.endpoints[0] ?? '').replace('http://', ''));
      const engine = await open({ endpoints: [wan.address] });
      const ending = new AbortController();
      const seen: string[] = [];
      const watching = (async () => {
        for await (const { changes } of engine.watch({ prefix: 'n', fromRevision: 1, signal: ending.signal })) {
          for (const change of changes) if (change.type === 'put') seen.push(change.value);
        }
      })().catch((error: unknown) => {
        if (!ending.signal.aborted) throw error;
      });
      await engine.txn(writes(put('n', '0')));
      let successes = 0;
      let busy = true;
      const breaking = (async () => {
        for (let n = 0; busy; n += 1) {
          wan.cutAfter(500 + ((n * 997) % 9_000), 'reset');
          await waitFor(async () => !busy || wan.state === 'reset', { what: 'the cut', interval: 5 });
          wan.heal();
        }
      })();
      const increment = async (): Promise<void> => {
        for (let done = 0; done < 40; ) {
          const [row] = (await engine.range({ prefix: 'n' })).rows;
          const value = String(Number(row?.value) + 1);
          const compare = [{ key: 'n', modRevision: row?.modRevision ?? 0 }];
          if ((await engine.txn({ compare, ops: [put('n', value)] })).succeeded) {
            done += 1;
            successes += 1;
          }
        }
      };
      await Promise.all([increment(), increment(), increment(), increment()]);
      busy = false;
      await breaking;
      wan.cutAfter(Number.POSITIVE_INFINITY, 'reset'); // the one that is still to come
      wan.heal();
      expect(successes).toBe(160);
      expect((await engine.range({ prefix: 'n' })).rows[0]?.value).toBe('160');
      await Promise.race([
        waitFor(async () => seen.length >= 161, { what: 'the watch to have seen all' }),
        watching.then(() => expect.fail('the watch ended')),
      ]);
      ending.abort();
      await watching;
      expect(seen).toEqual(Array.from({ length: 161 }, (_, n) => String(n)));
      await engine.close();
      await wan.close();
    });
  });

  it('gives a long history whole, although etcd sends it in fragments', async () => {
    const engine = await open();
    const filler = 'x'.repeat(60_000);
    for (let n = 0; n < 40; n += 1) {
      await engine.txn(writes(...numbered(5, `c${n}`).map((key) => put(key, filler))));
    }
    const ending = new AbortController();
    const commits: Commit[] = [];
    for await (const commit of engine.watch({ prefix: '', fromRevision: 1, signal: ending.signal })) {
      commits.push(commit);
      if (commits.length === 40) break;
    }
    expect(commits.map(({ revision }) => revision)).toEqual(Array.from({ length: 40 }, (_, n) => n + 1));
    for (const [n, { changes }] of commits.entries()) {
      expect(changes.map(({ key }) => key)).toEqual(numbered(5, `c${n}`));
    }
  });

  it('writes on when etcd has ended the lease of its writer', async () => {
    const engine = await open();
    await engine.txn(writes(put('a')));
    for (const id of etcd.ctl('lease', 'list').match(/^[0-9a-f]{16}$/gm) ?? []) etcd.ctl('lease', 'revoke', id);
    const results = await Promise.all([engine.txn(writes(put('b'))), engine.txn(writes(put('c')))]);
    expect(results.map(({ succeeded }) => succeeded)).toEqual([true, true]);
    const lease = await engine.grantLease(60_000);
    await engine.revokeLease(lease.id);
    await expect(engine.txn(writes(put('d', '1', lease.id)))).rejects.toMatchObject({ code: 'not_found' });
    expect((await engine.range({ prefix: '' })).rows.map(({ key }) => key)).toEqual(['a', 'b', 'c']);
  });

  describe('several stores in one etcd', () => {
    it('do not see each other, and pass the revisions that the others take', async () => {
      const [one, two] = [await open(), await open()];
      const store = new Store({
        engine: one,
        clock: systemClock,
        onError: (_what, error) => expect.fail(error.message),
      });
      const items = store.table<{ id: string }>({ name: 'items', key: (item) => item.id });
      await store.start(new AbortController().signal);
      await store.transact((tx) => tx.put(items, { id: 'a' }));
      for (let n = 0; n < 20; n += 1) await two.txn(writes(put('items/b', '{"id":"b"}')));
      const before = store.revision;
      await store.sync(); // others' revisions never come over the watch by themselves
      expect(store.revision).toBeGreaterThan(before);
      await two.txn(writes(put('items/c', '{"id":"c"}')));
      // A comparison that fails tells a revision of somebody else; the retry needs the view to pass it.
      await one.txn(writes(put('items/a', '{"id":"a","by":"another"}')));
      const { result } = await store.transact((tx) => {
        const found = tx.get(items, 'a') as { by?: string } | undefined;
        tx.put(items, { id: 'a' });
        return found?.by;
      });
      expect(result).toBe('another');
      expect((await one.range({ prefix: '' })).rows.map(({ key }) => key)).toEqual(['items/a']);
      expect((await two.range({ prefix: '' })).rows.map(({ key }) => key)).toEqual(['items/b', 'items/c']);
      expect(one.epoch).not.toBe(two.epoch);
      await store.stop();
    });

    it('refuse a prefix that holds something else', async () => {
      etcd.ctl('put', 'foreign/key', 'x');
      await expect(open({ prefix: 'foreign' })).rejects.toMatchObject({
        code: 'internal',
        message: expect.stringContaining('foreign/key'),
      });
    });
  });

  it('opened by two servers at once is one store, and each sees what the other restores', async () => {
    const prefix = `both/${process.pid}`;
    const [one, two] = await Promise.all([open({ prefix }), open({ prefix })]);
    expect(one.epoch).toBe(two.epoch);
    await one.txn(writes(put('a')));
    const { rows, revision } = await two.range({ prefix: '' });
    expect(rows.map(({ key }) => key)).toEqual(['a']);
    const future = first(two, revision + 100).catch((error: unknown) => error);
    const ended = first(two, revision + 1).catch((error: unknown) => error);
    const restored = await one.restore(
      (async function* () {
        yield [{ key: 'b', value: '2' }];
      })(),
      { above: 0 },
    );
    expect(await ended).toMatchObject({ code: 'compacted', details: { revision: restored.revision + 1 } });
    expect(await future).toMatchObject({ code: 'compacted' });
    expect(two.epoch).toBe(restored.epoch);
    const stale: Txn = { compare: [{ key: 'a', modRevision: revision }], ops: [put('c')] };
    expect((await two.txn(stale)).succeeded).toBe(false);
    expect((await two.range({ prefix: '' })).rows).toEqual([
      { key: 'b', value: '2', createRevision: restored.revision, modRevision: restored.revision },
    ]);
    expect(etcd.ctl('get', '--prefix', '--keys-only', `${prefix}/g/`).trim().split('\n')).toHaveLength(1);
  });

  it('keeps the old content when a restore dies half-way, and the next one clears what it left', async () => {
    const prefix = `half/${process.pid}`;
    const [dying, other] = [await open({ prefix }), await open({ prefix })];
    await dying.txn(writes(put('a', 'old')));
    const count = (): number => etcd.ctl('get', '--prefix', '--keys-only', `${prefix}/g/`).trim().split(/\s+/).length;
    const pages = (async function* () {
      for (let n = 0; ; n += 1) {
        yield numbered(500, `new/${String(n).padStart(5, '0')}`).map((key) => ({ key, value: 'x'.repeat(2_000) }));
      }
    })();
    const died = dying.restore(pages, { above: 0 }).catch((error: unknown) => error);
    await waitFor(async () => count() > 500, { what: 'rows to be staged' });
    await dying.close();
    expect(await died).toMatchObject({ code: 'unavailable' });
    expect(count()).toBeGreaterThan(500);
    expect((await other.range({ prefix: '' })).rows.map(({ key, value }) => [key, value])).toEqual([['a', 'old']]);
    const next = (): ReturnType<Engine['restore']> =>
      other.restore(
        (async function* () {
          yield [{ key: 'b', value: 'new' }];
        })(),
        { above: 0 },
      );
    await expect(next()).rejects.toMatchObject({ code: 'unavailable' }); // for all it knows the other one goes on
    // Not parsed as JSON: the number is larger than JavaScript's.
    const [, lease = ''] = /"lease":(\d+)/.exec(etcd.ctl('get', `${prefix}/staging`, '-w', 'json')) ?? [];
    etcd.ctl('lease', 'revoke', BigInt(lease).toString(16)); // a minute later it would have ended by itself
    await next();
    expect(count()).toBe(1);
    expect((await other.range({ prefix: '' })).rows.map(({ key, value }) => [key, value])).toEqual([['b', 'new']]);
  });
});
