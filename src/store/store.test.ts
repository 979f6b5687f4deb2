import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeClock } from '../../test/fakes/fake-clock.ts';
import type { IsthmusError } from '../lib/errors.ts';
import type { Commit, Engine, EngineContact, Txn, WatchQuery } from './engine.ts';
import { MemoryEngine } from './memory/memory-engine.ts';
import { type AppliedCommit, Store } from './store.ts';
import type { Table } from './table.ts';

interface Item {
  readonly id: string;
  readonly count: number;
  readonly group?: string;
}

/** The engine in memory, with faults: something done before a write, and a watch that breaks. */
class FaultyEngine implements Engine {
  readonly shared = false;
  readonly inner: MemoryEngine;
  beforeTxn: (() => Promise<void>) | undefined;
  /** Holds each commit of a watch back. */
  beforeCommit: (() => Promise<void>) | undefined;
  /** Ends the running watch with an error. */
  breakWatch: () => void = () => undefined;

  constructor(clock: FakeClock) {
    this.inner = new MemoryEngine(clock);
  }

  get epoch(): string {
    return this.inner.epoch;
  }

  range(...args: Parameters<Engine['range']>): ReturnType<Engine['range']> {
    return this.inner.range(...args);
  }

  async txn(txn: Txn): ReturnType<Engine['txn']> {
    const before = this.beforeTxn;
    this.beforeTxn = undefined;
    await before?.();
    return this.inner.txn(txn);
  }

  async *watch(query: WatchQuery): AsyncIterable<Commit> {
    const broken = new AbortController();
    this.breakWatch = () => broken.abort();
    const signal = AbortSignal.any([query.signal, broken.signal]);
    for await (const commit of this.inner.watch({ ...query, signal })) {
      await this.beforeCommit?.();
      yield commit;
    }
  }

  contact(): EngineContact {
    return this.inner.contact();
  }

  currentRevision(): Promise<number> {
    return this.inner.currentRevision();
  }

  compact(revision: number): Promise<void> {
    return this.inner.compact(revision);
  }

  grantLease(ttlMs: number): ReturnType<Engine['grantLease']> {
    return this.inner.grantLease(ttlMs);
  }

  keepLease(id: string): Promise<void> {
    return this.inner.keepLease(id);
  }

  revokeLease(id: string): Promise<void> {
    return this.inner.revokeLease(id);
  }

  snapshot(signal: AbortSignal): ReturnType<Engine['snapshot']> {
    return this.inner.snapshot(signal);
  }

  restore(...args: Parameters<Engine['restore']>): ReturnType<Engine['restore']> {
    return this.inner.restore(...args);
  }

  close(): Promise<void> {
    return this.inner.close();
  }
}

let clock: FakeClock;
let engine: FaultyEngine;
let store: Store;
let items: Table<Item>;
let others: Table<Item>;
let errors: string[];

function makeStore(): void {
  errors = [];
  const onError = (what: string, error: IsthmusError): void => void errors.push(`${what}: ${error.code}`);
  store = new Store({ engine, clock, onError });
  items = store.table<Item>({
    name: 'items',
    key: (item) => item.id,
    topics: (item) => (item.group === undefined ? [] : [`group:${item.group}`]),
  });
  others = store.table<Item>({ name: 'others', key: (item) => item.id });
}

beforeEach(async () => {
  clock = new FakeClock();
  engine = new FaultyEngine(clock);
  makeStore();
  await store.start(new AbortController().signal);
});

afterEach(async () => {
  await store.stop();
  await engine.close();
});

const add = (id: string, by = 1, group?: string) =>
  store.transact((tx) => {
    const count = (tx.get(items, id)?.count ?? 0) + by;
    tx.put(items, { id, count, ...(group !== undefined && { group }) });
    return count;
  });

describe('transactions', () => {
  it('resolve once the view shows them, and see their own writes', async () => {
    const done = await store.transact((tx) => {
      tx.put(items, { id: 'a', count: 1 });
      tx.delete(items, 'b');
      return [tx.get(items, 'a')?.count, tx.row(items, 'a'), tx.get(items, 'b')];
    });
    expect(done).toEqual({ result: [1, undefined, undefined], revision: 1, changed: true });
    expect(store.revision).toBe(1);
    expect(items.get('a')).toEqual({ key: 'a', value: { id: 'a', count: 1 }, createRevision: 1, modRevision: 1 });
    expect(await store.transact(() => 'nothing')).toEqual({ result: 'nothing', revision: 1, changed: false });
  });

  it('lose no update when many change the same entity at once', async () => {
    const results = await Promise.all(Array.from({ length: 40 }, () => add('a')));
    expect(items.get('a')?.value.count).toBe(40);
    expect(new Set(results.map((done) => done.result)).size).toBe(40);
  });

  it('run again when what they read has changed, and not when something else has', async () => {
    await add('a');
    let runs = 0;
    engine.beforeTxn = async () => {
      await add('a', 10);
    };
    await store.transact((tx) => {
      runs += 1;
      tx.put(items, { id: 'b', count: tx.get(items, 'a')?.count ?? 0 });
    });
    expect([runs, items.get('b')?.value.count]).toEqual([2, 11]);
    engine.beforeTxn = async () => {
      await add('c');
    };
    await store.transact((tx) => {
      runs += 1;
      tx.put(items, { id: 'b', count: tx.get(items, 'a')?.count ?? 0 });
    });
    expect(runs).toBe(3);
  });

  it('give up after many conflicts', async () => {
    let runs = 0;
    const fight = store.transact((tx) => {
      runs += 1;
      engine.beforeTxn = async () => {
        await engine.inner.txn({
          compare: [],
          ops: [{ type: 'put', key: 'items/a', value: `{"id":"a","count":${runs}}` }],
        });
      };
      tx.get(items, 'a');
      tx.put(items, { id: 'b', count: 1 });
    });
    await expect(fight).rejects.toMatchObject({ code: 'unavailable' });
    expect(runs).toBe(64);
    expect(items.get('b')).toBeUndefined();
  });

  it('write nothing when the step throws or the caller has gone', async () => {
    const broken = store.transact((tx) => {
      tx.put(items, { id: 'a', count: 1 });
      throw new Error('no');
    });
    await expect(broken).rejects.toThrow('no');
    await expect(store.transact(() => 1, AbortSignal.abort())).rejects.toMatchObject({ code: 'cancelled' });
    expect([items.size, store.revision]).toEqual([0, 0]);
  });
});

it('lets rows go with the lease that they were put with, and keeps one that is put again without', async () => {
  const lease = await store.leases.grantLease(1_000);
  await store.transact((tx) => {
    tx.put(items, { id: 'leased', count: 1 }, lease.id);
    tx.put(items, { id: 'freed', count: 1 }, lease.id);
  });
  await store.transact((tx) => tx.put(items, { id: 'freed', count: 2 }));
  const gone = store.topics.wait(['items'], store.revision, new AbortController().signal);
  await clock.advance(1_000);
  await gone;
  expect(items.list().map(({ key }) => key)).toEqual(['freed']);
  await expect(store.transact((tx) => tx.put(items, { id: 'late', count: 1 }, lease.id))).rejects.toMatchObject({
    code: 'not_found',
  });
});

describe('waiting', () => {
  it('for a revision ends when the view has it, in time or not at all', async () => {
    const waiting = store.waitFor(2);
    await add('a');
    await add('a');
    await waiting;
    await store.waitFor(1);
    const late = store.waitFor(99);
    const lateEnd = expect(late).rejects.toMatchObject({ code: 'deadline' });
    const cancelled = store.waitFor(99, AbortSignal.abort());
    await expect(cancelled).rejects.toMatchObject({ code: 'cancelled' });
    await clock.advance(10_000);
    await lateEnd;
  });

  it('on a topic ends for its own data only', async () => {
    await add('a', 1, 'x');
    const index = store.topics.index(['group:x']);
    const woken: string[] = [];
    const signal = new AbortController().signal;
    const x = store.topics.wait(['group:x'], index, signal).then((at) => woken.push(`x${at}`));
    const y = store.topics.wait(['group:y'], index, signal).then((at) => woken.push(`y${at}`));
    await add('b', 1, 'z');
    await store.transact((tx) => tx.put(others, { id: 'a', count: 1, group: 'x' }));
    expect([woken, store.topics.index(['group:x'])]).toEqual([[], index]);
    await add('a', 1, 'y'); // moves from x to y: both change
    await Promise.all([x, y]);
    expect(woken.sort()).toEqual(['x4', 'y4']);
    expect([store.topics.index(['items']), store.topics.index(['others'])]).toEqual([4, 3]);
  });
});

describe('the view', () => {
  it('tells listeners each commit in order, with the rows before and after', async () => {
    const seen: AppliedCommit[] = [];
    const end = store.onCommit((commit) => seen.push(commit));
    await add('a');
    await store.transact((tx) => {
      tx.delete(items, 'a');
      tx.put(others, { id: 'b', count: 1 });
    });
    end();
    await add('c');
    expect(seen.map((commit) => commit.revision)).toEqual([1, 2]);
    expect(
      seen[1]?.changes.map((change) => [
        change.table,
        change.key,
        change.before?.modRevision,
        change.after?.modRevision,
      ]),
    ).toEqual([
      ['items', 'a', 1, undefined],
      ['others', 'b', undefined, 2],
    ]);
  });

  it('starts with what the store holds, and leaves tables alone that it does not know', async () => {
    await add('a', 5, 'x');
    await engine.inner.txn({ compare: [], ops: [{ type: 'put', key: 'newer/1', value: '{"x":1}' }] });
    await store.waitFor(2);
    await store.stop();
    makeStore();
    await store.start(new AbortController().signal);
    expect([store.revision, items.get('a')?.value.count, store.epoch]).toEqual([2, 5, engine.epoch]);
    expect(store.topics.index(['group:none'])).toBe(2); // an index never goes back over a restart
    expect((await engine.range({ prefix: 'newer/' })).rows).toHaveLength(1);
  });

  it('waits, when asked to, for all that others have written', async () => {
    let held: (() => void) | undefined;
    engine.beforeCommit = () => new Promise<void>((resolve) => (held = resolve));
    await engine.inner.txn({ compare: [], ops: [{ type: 'put', key: 'items/a', value: '{"id":"a","count":9}' }] });
    let synced = false;
    const done = store.sync().then(() => (synced = true));
    await clock.waitArmed(1);
    expect([synced, items.get('a')]).toEqual([false, undefined]);
    held?.();
    await done;
    expect(items.get('a')?.value.count).toBe(9);
  });

  it('goes on where it was when the watch breaks', async () => {
    await add('a');
    engine.breakWatch();
    const done = add('a');
    await clock.waitArmed(2); // the writer's limit and the pause before the next watch
    await clock.advance(1_000);
    expect(await done).toMatchObject({ result: 2, revision: 2 });
    expect(errors).toEqual(['store view: cancelled']);
  });

  it('reads everything anew when history was cut under it', async () => {
    await add('a', 1, 'x');
    await add('b', 1, 'x');
    await add('c', 1, 'x');
    const index = store.topics.index(['group:x']);
    const woken = store.topics.wait(['group:x'], index, new AbortController().signal);
    const seen: AppliedCommit[] = [];
    store.onCommit((commit) => seen.push(commit));
    engine.breakWatch();
    const direct = (ops: Txn['ops']) => engine.inner.txn({ compare: [], ops });
    await direct([{ type: 'delete', key: 'items/a' }]);
    await direct([{ type: 'put', key: 'items/b', value: '{"id":"b","count":7,"group":"x"}' }]);
    await direct([{ type: 'put', key: 'items/d', value: '{"id":"d","count":1}' }]);
    await engine.compact(6);
    await clock.waitArmed(1);
    await clock.advance(1_000);
    await store.waitFor(6);
    expect(items.list().map((row) => [row.key, row.value.count, row.modRevision])).toEqual([
      ['b', 7, 5],
      ['c', 1, 3],
      ['d', 1, 6],
    ]);
    expect(seen).toHaveLength(1);
    expect(seen[0]?.changes.map((change) => change.key)).toEqual(['b', 'd', 'a']); // and not c, which is as it was
    expect(await woken).toBe(6);
    await add('e');
    expect(store.revision).toBe(7);
  });
});

describe('a restore', () => {
  async function* state(...rows: Item[]): AsyncGenerator<{ key: string; value: string }[], void, void> {
    for (const row of rows) yield [{ key: `items/${row.id}`, value: JSON.stringify(row) }];
  }
  const restored = (rows: Item[], above = 0) => store.restore(state(...rows), { above });

  it('is one commit of the view, wakes all who wait, and moves every index forward', async () => {
    await add('a', 1, 'x');
    await add('b', 1, 'x');
    const { epoch } = store;
    const seen: AppliedCommit[] = [];
    store.onCommit((commit) => seen.push(commit));
    const never = new AbortController().signal;
    const waits = ['group:x', 'group:none', 'others'].map((topic) => store.topics.wait([topic], 2, never));
    const done = await restored(
      [
        { id: 'b', count: 1, group: 'x' },
        { id: 'c', count: 7 },
      ],
      40,
    );
    expect(done.revision).toBe(41);
    expect([store.revision, store.epoch]).toEqual([41, done.epoch]);
    expect(store.epoch).not.toBe(epoch);
    expect(items.list().map((row) => [row.key, row.value.count, row.modRevision])).toEqual([
      ['b', 1, 41],
      ['c', 7, 41],
    ]);
    expect(seen.map((commit) => commit.revision)).toEqual([41]);
    expect(seen[0]?.changes.map(({ key, after }) => [key, after?.value !== undefined])).toEqual([
      ['b', true],
      ['c', true],
      ['a', false],
    ]);
    expect(await Promise.all(waits)).toEqual([41, 41, 41]);
    expect(store.topics.index(['group:none'])).toBe(41);
    expect(await add('c')).toMatchObject({ result: 8, revision: 42 });
    expect(errors).toEqual([]);
  });

  it('makes a transaction that was under way run again on the new state', async () => {
    await add('a', 5);
    engine.beforeTxn = async () => {
      await restored([{ id: 'a', count: 100 }]);
    };
    expect(await add('a')).toMatchObject({ result: 101, revision: 3 });
  });

  it('that is refused changes nothing', async () => {
    await add('a', 5);
    const wrong = state({ id: 'b', count: 1 }, { id: 'a', count: 1 });
    await expect(store.restore(wrong, { above: 0 })).rejects.toMatchObject({ code: 'invalid_argument' });
    expect(items.get('a')?.value.count).toBe(5);
    expect(await add('a')).toMatchObject({ result: 6, revision: 2 });
  });
});

it('refuses tables that would mix their rows', async () => {
  await store.stop();
  store = new Store({ engine, clock, onError: () => undefined });
  const spec = { name: 'items', key: (item: Item) => item.id };
  store.table(spec);
  expect(() => store.table(spec)).toThrow('two tables are named items');
  expect(() => store.table({ ...spec, name: 'a/b' })).toThrow('holds a slash');
  await store.start(new AbortController().signal);
  expect(() => store.table({ ...spec, name: 'late' })).toThrow('after the store was started');
});
