import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { IsthmusError } from '../../src/lib/errors.ts';
import type { Commit, Engine, Op, RestoredRow, SnapshotPage, Txn } from '../../src/store/engine.ts';
import { MAX_KEY_BYTES } from '../../src/store/keys.ts';
import { FakeClock } from '../fakes/fake-clock.ts';

export interface EngineSetup {
  /** Opens an engine over an empty store. */
  open(clock: FakeClock): Promise<Engine>;
  /** Removes what `open` left behind. */
  dispose?(): Promise<void>;
  /** True: some revisions are of no commit, where others use the numbers too or a step takes more than one. */
  readonly gaps?: boolean;
  /** Time to live of leases in the tests, milliseconds. Default 10,000. */
  readonly leaseMs?: number;
  /** Lets time pass for the engine. Default: the clock that `open` was given is moved. */
  elapse?(ms: number): Promise<void>;
}

const put = (key: string, value = '1', lease?: string): Op =>
  lease === undefined ? { type: 'put', key, value } : { type: 'put', key, value, lease };
const del = (key: string): Op => ({ type: 'delete', key });
const writes = (...ops: Op[]): Txn => ({ compare: [], ops });

/** Reads the next `count` commits of a watch. */
async function take(commits: AsyncIterable<Commit>, count: number): Promise<Commit[]> {
  const taken: Commit[] = [];
  for await (const commit of commits) {
    taken.push(commit);
    if (taken.length === count) break;
  }
  return taken;
}

async function* pagesOf(...pages: RestoredRow[][]): AsyncGenerator<RestoredRow[], void, void> {
  yield* pages;
}

/** What every store engine must do. `setup` makes one for each test. */
export function describeEngine(name: string, setup: () => Promise<EngineSetup>): void {
  describe(`store engine ${name}`, () => {
    let clock: FakeClock;
    let engine: Engine;
    let made: EngineSetup;
    let ending: AbortController;

    beforeEach(async () => {
      clock = new FakeClock();
      made = await setup();
      engine = await made.open(clock);
      ending = new AbortController();
    });

    afterEach(async () => {
      ending.abort();
      await engine.close();
      await made.dispose?.();
    });

    /** The revision after `before`: exactly, or a higher one where there are gaps. */
    const following = (before: number): unknown =>
      made.gaps === true ? expect.toSatisfy((revision: number) => revision > before) : before + 1;
    const elapse = (ms: number): Promise<void> => made.elapse?.(ms) ?? clock.advance(ms);
    const leaseMs = (): number => made.leaseMs ?? 10_000;

    const watch = (fromRevision: number, prefix = ''): AsyncIterable<Commit> =>
      engine.watch({ prefix, fromRevision, signal: ending.signal });
    const keys = async (prefix = '', revision?: number): Promise<string[]> => {
      const { rows } = await engine.range(revision === undefined ? { prefix } : { prefix, revision });
      return rows.map((row) => `${row.key}=${row.value}@${row.createRevision}/${row.modRevision}`);
    };

    describe('transactions', () => {
      it('starts empty at revision 0', async () => {
        expect(await engine.range({ prefix: '' })).toEqual({ rows: [], revision: 0, epoch: engine.epoch, more: false });
        expect(engine.epoch).toMatch(/^[0-9a-f-]{36}$/);
      });

      it('gives each commit the next revision and keeps when a key was created', async () => {
        expect(await engine.txn(writes(put('a'), put('b')))).toEqual({ succeeded: true, revision: 1 });
        expect(await engine.txn(writes(put('a', '2')))).toEqual({ succeeded: true, revision: 2 });
        expect(await keys()).toEqual(['a=2@1/2', 'b=1@1/1']);
      });

      it('creates a deleted key anew', async () => {
        await engine.txn(writes(put('a')));
        await engine.txn(writes(del('a')));
        await engine.txn(writes(put('a')));
        expect(await keys()).toEqual(['a=1@3/3']);
      });

      it('tells the newest revision, which covers whatever was acknowledged', async () => {
        expect(await engine.currentRevision()).toBe(0);
        await engine.txn(writes(put('a')));
        const writing = engine.txn(writes(put('b')));
        expect(await engine.currentRevision()).toBeGreaterThanOrEqual(1);
        await writing;
        expect(await engine.currentRevision()).toBe(2);
        expect(engine.contact().connected).toBe(true);
      });

      it('makes no revision when nothing changes', async () => {
        await engine.txn(writes(put('a')));
        const { succeeded, revision } = await engine.txn(writes(del('none')));
        expect([succeeded, revision]).toEqual([true, made.gaps === true ? following(0) : 1]);
        expect(await engine.txn(writes())).toEqual({ succeeded: true, revision });
        const seen = take(watch(2), 1);
        await engine.txn(writes(put('a')));
        expect((await seen)[0]?.revision).toEqual(following(revision)); // and none in between
      });

      it('writes nothing when a comparison fails', async () => {
        await engine.txn(writes(put('a')));
        const stale: Txn = { compare: [{ key: 'a', modRevision: 0 }], ops: [put('a', '2'), put('b')] };
        expect(await engine.txn(stale)).toEqual({ succeeded: false, revision: 1 });
        expect(await keys()).toEqual(['a=1@1/1']);
        const right: Txn = {
          compare: [
            { key: 'a', modRevision: 1 },
            { key: 'b', modRevision: 0 },
          ],
          ops: [put('b')],
        };
        expect(await engine.txn(right)).toEqual({ succeeded: true, revision: 2 });
      });

      it('lets one of many concurrent writers with the same comparison win', async () => {
        const results = await Promise.all(
          Array.from({ length: 50 }, (_, n) =>
            engine.txn({ compare: [{ key: 'a', modRevision: 0 }], ops: [put('a', String(n))] }),
          ),
        );
        expect(results.filter((result) => result.succeeded)).toEqual([{ succeeded: true, revision: 1 }]);
        expect(results.every((result) => result.revision === 1)).toBe(true);
      });

      it('gives concurrent writers distinct, consecutive revisions', async () => {
        const results = await Promise.all(
          Array.from({ length: 300 }, (_, n) => engine.txn(writes(put(`k${n}`, String(n))))),
        );
        const revisions = results.map((result) => result.revision).sort((a, b) => a - b);
        expect(revisions).toEqual(Array.from({ length: 300 }, (_, n) => n + 1));
        expect((await engine.range({ prefix: 'k' })).rows).toHaveLength(300);
      });

      it('refuses keys that not every engine can hold, and goes on', async () => {
        const long = 'k'.repeat(MAX_KEY_BYTES);
        await engine.txn(writes(put(long)));
        const bad = [writes(put(`${long}k`)), writes(put('')), writes(put('a\ud800')), writes(put('a'), del('a'))];
        for (const txn of bad) await expect(engine.txn(txn)).rejects.toMatchObject({ code: 'invalid_argument' });
        const umlauts: Txn = { compare: [{ key: 'ü'.repeat(990), modRevision: 0 }], ops: [] };
        await expect(engine.txn(umlauts)).rejects.toMatchObject({ code: 'invalid_argument' });
        expect(await engine.txn(writes(put('a')))).toEqual({ succeeded: true, revision: 2 });
      });

      it('keeps values of any size and content', async () => {
        const large = JSON.stringify('x'.repeat(1_000_000));
        await engine.txn(writes(put('large', large), put('empty', ''), put('odd', '"ü\u0000😀"')));
        const { rows } = await engine.range({ prefix: '' });
        expect(rows.map((row) => row.value)).toEqual(['', large, '"ü\u0000😀"']);
      });
    });

    describe('ranges', () => {
      it('answers a prefix in byte order, with limit and paging', async () => {
        const names = ['a', 'a/', 'a/1', 'a/1/x', 'a0', 'b', 'a\u0000', 'a\u{1f600}', 'a\uffee'];
        await engine.txn(writes(...names.map((name) => put(name))));
        const all = (await engine.range({ prefix: 'a' })).rows.map((row) => row.key);
        expect(all).toEqual(['a', 'a\u0000', 'a/', 'a/1', 'a/1/x', 'a0', 'a\uffee', 'a\u{1f600}']);
        const first = await engine.range({ prefix: 'a', limit: 3 });
        expect(first).toMatchObject({ more: true, revision: 1 });
        expect(first.rows.map((row) => row.key)).toEqual(all.slice(0, 3));
        const rest = await engine.range({ prefix: 'a', after: 'a/', limit: 5 });
        expect(rest.more).toBe(false);
        expect(rest.rows.map((row) => row.key)).toEqual(all.slice(3));
        expect((await engine.range({ prefix: 'a/', after: 'a' })).rows.map((row) => row.key)).toEqual([
          'a/',
          'a/1',
          'a/1/x',
        ]);
        expect((await engine.range({ prefix: 'a', after: 'b' })).rows).toEqual([]);
        expect((await engine.range({ prefix: 'a', limit: 0 })).more).toBe(true);
      });

      it('answers the state at an older revision', async () => {
        await engine.txn(writes(put('a', '1'), put('b', '1')));
        await engine.txn(writes(put('a', '2'), del('b'), put('c', '1')));
        await engine.txn(writes(del('a'), put('b', '2')));
        expect(await keys('', 0)).toEqual([]);
        expect(await keys('', 1)).toEqual(['a=1@1/1', 'b=1@1/1']);
        expect(await keys('', 2)).toEqual(['a=2@1/2', 'c=1@2/2']);
        expect(await keys('', 3)).toEqual(['b=2@3/3', 'c=1@2/2']);
        expect(await keys('b', 1)).toEqual(['b=1@1/1']);
        const page = await engine.range({ prefix: '', revision: 2, limit: 1, after: 'a' });
        expect(page).toMatchObject({ revision: 2, more: false, rows: [{ key: 'c' }] });
        await expect(engine.range({ prefix: '', revision: 4 })).rejects.toMatchObject({ code: 'invalid_argument' });
      });
    });

    describe('compaction', () => {
      it('keeps every state from the compacted revision on, also of keys written before it', async () => {
        await engine.txn(writes(put('a', '1'), put('b', '1')));
        await engine.txn(writes(put('c', '1')));
        await engine.txn(writes(put('c', '2')));
        await engine.txn(writes(put('a', '2'), del('b')));
        await engine.compact(2);
        expect(await keys('', 2)).toEqual(['a=1@1/1', 'b=1@1/1', 'c=1@2/2']);
        expect(await keys('', 3)).toEqual(['a=1@1/1', 'b=1@1/1', 'c=2@2/3']);
        expect(await keys()).toEqual(['a=2@1/4', 'c=2@2/3']);
        await expect(engine.range({ prefix: '', revision: 1 })).rejects.toMatchObject({
          code: 'compacted',
          details: { revision: 3 },
        });
      });

      it('is no error twice, backwards or beyond the newest revision', async () => {
        await engine.txn(writes(put('a')));
        await engine.txn(writes(put('a', '2')));
        await engine.compact(99);
        await engine.compact(1);
        await engine.compact(2);
        expect(await keys('', 2)).toEqual(['a=2@1/2']);
        expect(await engine.txn(writes(put('a', '3')))).toEqual({ succeeded: true, revision: 3 });
      });

      it('refuses a watch from before it and tells the oldest revision that is held', async () => {
        for (let n = 0; n < 5; n += 1) await engine.txn(writes(put('a', String(n))));
        await engine.compact(3);
        await expect(take(watch(3), 1)).rejects.toMatchObject({ code: 'compacted', details: { revision: 4 } });
        expect((await take(watch(4), 2)).map((commit) => commit.revision)).toEqual([4, 5]);
      });
    });

    describe('watches', () => {
      it('gives the past, then what comes, with nothing left out', async () => {
        await engine.txn(writes(put('a', '1')));
        await engine.txn(writes(put('a', '2'), put('b', '1')));
        const seen = take(watch(1), 4);
        await engine.txn(writes(del('b')));
        await engine.txn(writes(put('c')));
        expect(await seen).toEqual([
          { revision: 1, changes: [{ type: 'put', key: 'a', value: '1', createRevision: 1, modRevision: 1 }] },
          {
            revision: 2,
            changes: [
              { type: 'put', key: 'a', value: '2', createRevision: 1, modRevision: 2 },
              { type: 'put', key: 'b', value: '1', createRevision: 2, modRevision: 2 },
            ],
          },
          { revision: 3, changes: [{ type: 'delete', key: 'b', modRevision: 3 }] },
          { revision: 4, changes: [{ type: 'put', key: 'c', value: '1', createRevision: 4, modRevision: 4 }] },
        ]);
      });

      it('shows only what touches the prefix', async () => {
        const seen = take(watch(1, 'a/'), 2);
        await engine.txn(writes(put('b/1')));
        await engine.txn(writes(put('a/1'), put('b/2')));
        await engine.txn(writes(put('a')));
        await engine.txn(writes(put('a/2')));
        const commits = await seen;
        expect(commits.map((commit) => [commit.revision, commit.changes.map((change) => change.key)])).toEqual([
          [2, ['a/1']],
          [4, ['a/2']],
        ]);
      });

      it('waits for a revision in the future', async () => {
        const seen = take(watch(3), 1);
        for (let n = 0; n < 3; n += 1) await engine.txn(writes(put('a', String(n))));
        expect((await seen).map((commit) => commit.revision)).toEqual([3]);
      });

      it('has no gap while many write', async () => {
        const count = 500;
        const whole = Array.from({ length: count }, (_, n) => n + 1);
        const watches = [take(watch(1), count)];
        const done: Promise<unknown>[] = [];
        for (let n = 0; n < count; n += 1) {
          done.push(engine.txn(writes(put(`k${n % 7}`, String(n)))));
          if (n % 100 === 50) {
            await done[done.length - 1];
            watches.push(take(watch(1), count));
          }
        }
        await Promise.all(done);
        for (const seen of await Promise.all(watches)) expect(seen.map((commit) => commit.revision)).toEqual(whole);
      });

      it('ends with the signal and when the engine closes', async () => {
        const waiting = take(watch(1), 1);
        const other = take(engine.watch({ prefix: '', fromRevision: 1, signal: new AbortController().signal }), 1);
        const otherEnd = expect(other).rejects.toMatchObject({ code: 'unavailable' });
        await clock.advance(0);
        ending.abort();
        await expect(waiting).rejects.toMatchObject({ code: 'cancelled' });
        await expect(take(watch(1), 1)).rejects.toMatchObject({ code: 'cancelled' });
        await engine.close();
        await otherEnd;
      });
    });

    describe('leases', () => {
      it('deletes the keys of a lease that ran out, in one commit', async () => {
        const lease = await engine.grantLease(leaseMs());
        expect(lease.ttlMs).toBe(leaseMs());
        await engine.txn(writes(put('a', '1', lease.id), put('b', '1', lease.id), put('c')));
        const early = made.elapse === undefined ? leaseMs() - 1 : leaseMs() / 4;
        await elapse(early);
        expect(await keys()).toHaveLength(3);
        const seen = take(watch(2), 1);
        await elapse(leaseMs() - early);
        expect((await seen)[0]?.changes).toEqual([
          { type: 'delete', key: 'a', modRevision: 2 },
          { type: 'delete', key: 'b', modRevision: 2 },
        ]);
        expect(await keys()).toEqual(['c=1@1/1']);
        await expect(engine.keepLease(lease.id)).rejects.toMatchObject({ code: 'not_found' });
      });

      it('lives on when it is kept', async () => {
        const lease = await engine.grantLease(leaseMs());
        await engine.txn(writes(put('a', '1', lease.id)));
        await elapse(leaseMs() * 0.6);
        await engine.keepLease(lease.id);
        await elapse(leaseMs() * 0.6);
        expect(await keys()).toEqual(['a=1@1/1']);
      });

      it('frees a key that is put again without it, or with another one', async () => {
        const [one, two] = [await engine.grantLease(1_000), await engine.grantLease(1_000)];
        await engine.txn(writes(put('a', '1', one.id), put('b', '1', one.id), put('c', '1', one.id)));
        await engine.txn(writes(put('a', '2'), put('b', '2', two.id)));
        await engine.revokeLease(one.id);
        expect(await keys()).toEqual(['a=2@1/2', 'b=2@1/2']);
        await engine.revokeLease(two.id);
        await engine.revokeLease(two.id);
        expect(await keys()).toEqual(['a=2@1/2']);
      });

      it('writes nothing with a lease that has ended', async () => {
        const lease = await engine.grantLease(1_000);
        const revoked = engine.revokeLease(lease.id);
        const late = engine.txn(writes(put('x'), put('a', '1', lease.id)));
        await expect(late).rejects.toMatchObject({ code: 'not_found' });
        await revoked;
        await expect(engine.txn(writes(put('a', '1', 'none')))).rejects.toMatchObject({ code: 'not_found' });
        expect(await engine.range({ prefix: '' })).toMatchObject({ rows: [], revision: 0 });
      });
    });

    describe('snapshots', () => {
      const read = async (): Promise<SnapshotPage[]> => {
        const pages: SnapshotPage[] = [];
        for await (const page of engine.snapshot(ending.signal)) pages.push(page);
        return pages;
      };

      it('give one page for an empty store, and tell which state it is', async () => {
        expect(await read()).toEqual([{ epoch: engine.epoch, revision: 0, rows: [] }]);
      });

      it('hold one state, in order and in pages, while others write, leases end and history is compacted', async () => {
        const count = 2_500;
        const names = Array.from({ length: count }, (_, n) => `k${String(n).padStart(5, '0')}`);
        for (let n = 0; n < count; n += 500) {
          await engine.txn(writes(...names.slice(n, n + 500).map((name) => put(name, `"${name}"`))));
        }
        const before = (await engine.range({ prefix: '' })).rows;
        const { revision } = await engine.range({ prefix: '', limit: 1 });
        const pages: SnapshotPage[] = [];
        for await (const page of engine.snapshot(ending.signal)) {
          pages.push(page);
          await engine.txn(writes(put('a', 'new'), del(names[count - pages.length] ?? ''), put('z', 'new')));
          await engine.compact(revision + pages.length);
        }
        expect(pages.length).toBeGreaterThan(2);
        expect(pages.flatMap((page) => page.rows)).toEqual(before);
        for (const page of pages) expect([page.revision, page.epoch]).toEqual([revision, engine.epoch]);
      });

      it('leave out what hangs on a lease', async () => {
        const lease = await engine.grantLease(10_000);
        await engine.txn(writes(put('a'), put('b', '1', lease.id), put('c', '1', lease.id), put('d')));
        await engine.txn(writes(put('c', '2')));
        expect((await read()).flatMap((page) => page.rows).map((row) => row.key)).toEqual(['a', 'c', 'd']);
      });

      it('end with the signal, and may be left half-way', async () => {
        await engine.txn(writes(put('a')));
        for await (const page of engine.snapshot(ending.signal)) expect(page.rows).toHaveLength(1);
        for await (const _page of engine.snapshot(ending.signal)) break;
        ending.abort();
        await expect(read()).rejects.toMatchObject({ code: 'cancelled' });
      });
    });

    describe('restores', () => {
      it('replace everything, under another epoch and one revision above all earlier ones', async () => {
        await engine.txn(writes(put('a', 'old'), put('b', 'old')));
        const { epoch } = engine;
        const done = await engine.restore(
          pagesOf([], [{ key: 'a', value: 'new' }], [{ key: 'c', value: '"ü\u0000😀"' }]),
          { above: 0 },
        );
        expect(done).toEqual({ revision: following(1), epoch: engine.epoch });
        expect(done.epoch).not.toBe(epoch);
        const at = `${done.revision}/${done.revision}`;
        expect(await keys()).toEqual([`a=new@${at}`, `c="ü\u0000😀"@${at}`]);
        expect((await engine.range({ prefix: '' })).epoch).toBe(done.epoch);
        const higher = await engine.restore(pagesOf([{ key: 'b', value: '1' }]), { above: 5_000 });
        expect(higher.revision).toBe(5_001);
        expect(higher.epoch).not.toBe(done.epoch);
        expect(await keys()).toEqual(['b=1@5001/5001']);
        const { succeeded, revision } = await engine.txn(writes(put('b', '2'), put('c')));
        expect([succeeded, revision]).toEqual([true, following(5_001)]);
        expect(await keys()).toEqual([`b=2@5001/${revision}`, `c=1@${revision}/${revision}`]);
        expect(await keys('', 5_001)).toEqual(['b=1@5001/5001']);
      });

      it('can leave nothing', async () => {
        await engine.txn(writes(put('a')));
        const { revision } = await engine.restore(pagesOf(), { above: 0 });
        expect(revision).toEqual(following(1));
        const { rows, revision: read } = await engine.range({ prefix: '' });
        expect([rows, read]).toEqual([[], made.gaps === true ? following(revision - 1) : revision]);
      });

      it('end watches with compacted and forget what was before', async () => {
        for (let n = 0; n < 3; n += 1) await engine.txn(writes(put('a', String(n))));
        const ends = [take(watch(4), 1), take(watch(9), 1), take(watch(1, 'x'), 1)].map((seen) =>
          expect(seen).rejects.toMatchObject({ code: 'compacted', details: { revision: 11 } }),
        );
        await clock.advance(0);
        await engine.restore(pagesOf([{ key: 'a', value: 'new' }]), { above: 9 });
        await Promise.all(ends);
        await expect(take(watch(2), 1)).rejects.toMatchObject({ code: 'compacted' });
        await expect(engine.range({ prefix: '', revision: 3 })).rejects.toMatchObject({ code: 'compacted' });
        const seen = take(watch(11), 1);
        const { revision } = await engine.txn(writes(del('a')));
        expect(revision).toEqual(following(10));
        expect(await seen).toEqual([{ revision, changes: [{ type: 'delete', key: 'a', modRevision: revision }] }]);
      });

      it('make comparisons with earlier revisions fail', async () => {
        await engine.txn(writes(put('a', 'same')));
        const restored = await engine.restore(pagesOf([{ key: 'a', value: 'same' }]), { above: 0 });
        const stale: Txn = { compare: [{ key: 'a', modRevision: 1 }], ops: [put('a', 'late')] };
        expect((await engine.txn(stale)).succeeded).toBe(false);
        const right: Txn = { compare: [{ key: 'a', modRevision: restored.revision }], ops: [put('a', 'right')] };
        expect(await engine.txn(right)).toEqual({ succeeded: true, revision: following(restored.revision) });
        expect((await engine.txn(right)).succeeded).toBe(false);
      });

      it('can go on with the history of another store: its epoch, and the revisions of its rows', async () => {
        await engine.txn(writes(put('old')));
        const row = (key: string, createRevision: number, modRevision: number): RestoredRow => ({
          key,
          value: key,
          createRevision,
          modRevision,
        });
        const epoch = '6f1c0a52-1111-4222-8333-944455556666';
        const pages = pagesOf([row('a', 7, 90), row('b', 3, 3)], [row('c', 12, 41)]);
        const restored = await engine.restore(pages, { above: 95, continues: epoch });
        expect(restored).toEqual({ revision: 96, epoch });
        expect(engine.epoch).toBe(epoch);
        expect(await keys()).toEqual(['a=a@7/90', 'b=b@3/3', 'c=c@12/41']);
        const swap = (modRevision: number, key = 'a'): Txn => ({
          compare: [{ key, modRevision }],
          ops: [put(key, '2')],
        });
        for (const stale of [0, 7, 89, 91, 96]) expect((await engine.txn(swap(stale))).succeeded).toBe(false);
        const { succeeded, revision } = await engine.txn(swap(90));
        expect([succeeded, revision]).toEqual([true, following(96)]);
        expect((await engine.txn(swap(90))).succeeded).toBe(false);
        expect((await engine.txn(swap(revision))).succeeded).toBe(true);
        await engine.txn(writes(del('b')));
        const again = await engine.txn(writes(put('b', '2')));
        expect((await engine.txn(swap(3, 'b'))).succeeded).toBe(false);
        const [first, second, third] = (await engine.range({ prefix: '' })).rows;
        expect([first?.createRevision, first?.value]).toEqual([7, '2']);
        expect([second?.createRevision, second?.modRevision]).toEqual([again.revision, again.revision]);
        expect([third?.createRevision, third?.modRevision]).toEqual([12, 41]);
        const old = await keys('', 96);
        expect(old).toEqual(['a=a@7/90', 'b=b@3/3', 'c=c@12/41']);
        await expect(take(watch(95), 1)).rejects.toMatchObject({ code: 'compacted', details: { revision: 96 } });
        // Who has seen 95 goes on from there.
        expect((await take(watch(96), 1))[0]?.changes).toMatchObject([{ key: 'a', createRevision: 7 }]);
      });

      it('let leases live on without keys', async () => {
        const lease = await engine.grantLease(10_000);
        await engine.txn(writes(put('a', '1', lease.id)));
        const { revision } = await engine.restore(pagesOf([{ key: 'a', value: 'kept' }]), { above: 0 });
        await engine.keepLease(lease.id);
        await engine.txn(writes(put('b', '1', lease.id)));
        await engine.revokeLease(lease.id);
        expect(await keys()).toEqual([`a=kept@${revision}/${revision}`]);
      });

      it('change nothing when the pages fail, are out of order, or hold a key twice', async () => {
        await engine.txn(writes(put('a', 'old')));
        const { epoch } = engine;
        const failing = (async function* (): AsyncGenerator<RestoredRow[], void, void> {
          yield [{ key: 'x', value: '1' }];
          throw new IsthmusError('rejected', 'the rest is damaged');
        })();
        await expect(engine.restore(failing, { above: 0 })).rejects.toMatchObject({ code: 'rejected' });
        for (const names of [
          ['b', 'a'],
          ['a', 'a'],
          ['a\u{1f600}', 'a\uffee'],
          [''],
          ['k'.repeat(MAX_KEY_BYTES + 1)],
        ]) {
          const bad = pagesOf(...names.map((key) => [{ key, value: '1' }]));
          await expect(engine.restore(bad, { above: 0 })).rejects.toMatchObject({ code: 'invalid_argument' });
        }
        expect(await keys()).toEqual(['a=old@1/1']);
        expect(engine.epoch).toBe(epoch);
        const { revision } = await engine.restore(pagesOf([{ key: 'y', value: '1' }]), { above: 0 });
        expect(revision).toEqual(following(1));
        expect(await keys()).toEqual([`y=1@${revision}/${revision}`]);
      });

      it('go on one at a time, and let others read and write the old state until the new one is there', async () => {
        await engine.txn(writes(put('a', 'old')));
        const restored = engine.restore(
          (async function* () {
            yield [{ key: 'b', value: 'new' }];
            await expect(engine.restore(pagesOf(), { above: 0 })).rejects.toMatchObject({ code: 'unavailable' });
            const { revision } = await engine.txn(writes(put('a', 'meanwhile')));
            expect(revision).toEqual(following(1));
            expect(await keys()).toEqual([`a=meanwhile@1/${revision}`]);
            yield [{ key: 'c', value: 'new' }];
          })(),
          { above: 0 },
        );
        const { revision } = await restored;
        expect(revision).toEqual(following(2));
        expect(await keys()).toEqual([`b=new@${revision}/${revision}`, `c=new@${revision}/${revision}`]);
      });

      it('take what a snapshot gave', async () => {
        await engine.txn(writes(...Array.from({ length: 1_200 }, (_, n) => put(`k/${n}`, String(n)))));
        const before = (await engine.range({ prefix: '' })).rows.map(({ key, value }) => ({ key, value }));
        const pages: RestoredRow[][] = [];
        for await (const { rows } of engine.snapshot(ending.signal)) pages.push([...rows]);
        await engine.txn(writes(put('later'), del('k/7')));
        await engine.restore(pagesOf(...pages), { above: 1 });
        expect((await engine.range({ prefix: '' })).rows.map(({ key, value }) => ({ key, value }))).toEqual(before);
      });
    });

    it('refuses everything once closed', async () => {
      await engine.close();
      await engine.close();
      await expect(engine.txn(writes(put('a')))).rejects.toMatchObject({ code: 'unavailable' });
      await expect(engine.range({ prefix: '' })).rejects.toMatchObject({ code: 'unavailable' });
      await expect(engine.currentRevision()).rejects.toMatchObject({ code: 'unavailable' });
      await expect(engine.grantLease(1)).rejects.toMatchObject({ code: 'unavailable' });
      await expect(take(watch(1), 1)).rejects.toMatchObject({ code: 'unavailable' });
      await expect(engine.restore(pagesOf(), { above: 0 })).rejects.toMatchObject({ code: 'unavailable' });
      const snapshot = engine.snapshot(new AbortController().signal)[Symbol.asyncIterator]();
      await expect(snapshot.next()).rejects.toMatchObject({ code: 'unavailable' });
    });
  });
}
