import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeClock, settle } from '../../../test/fakes/fake-clock.ts';
import { memoryStore } from '../../../test/fakes/memory-store.ts';
import { createTaskGroup, type TaskGroup } from '../../lib/task.ts';
import type { KvOperation } from '../../model/kv.ts';
import type { Store, Tx } from '../../store/store.ts';
import type { Table } from '../../store/table.ts';
import { createKv, type Kv } from './kv.ts';

interface CheckRow {
  readonly Node: string;
  readonly CheckID: string;
  readonly Status: string;
}

const { signal } = new AbortController();
const base64 = (text: string): string => Buffer.from(text).toString('base64');

let clock: FakeClock;
let store: Store;
let kv: Kv;
let nodes: Table<{ readonly Node: string }>;
let checks: Table<CheckRow>;
let leading: TaskGroup;
const checkKey = (node: string, id: string): string => `${node}/${id}`;

/** A leader over a small catalog of nodes and checks. */
function lead(): TaskGroup {
  const tasks = createTaskGroup({
    clock,
    onError: (_name, error) => {
      throw error;
    },
  });
  kv.lead(store, tasks);
  return tasks;
}

beforeEach(async () => {
  clock = new FakeClock();
  store = memoryStore();
  nodes = store.table({ name: 'nodes', key: ({ Node }) => Node });
  checks = store.table({ name: 'checks', key: ({ Node, CheckID }) => checkKey(Node, CheckID) });
  const none = (): never => {
    throw new Error('no catalog operations here');
  };
  const silent = { debug() {}, info() {}, warn() {}, error() {}, child: () => silent } as never;
  kv = createKv({
    store,
    catalog: {
      sessions: {
        node: (tx: Tx, name) => tx.get(nodes, name)?.Node,
        check: (tx, node, id) => tx.get(checks, checkKey(node, id))?.Status,
      },
      kept: {
        nodes: 'nodes',
        checks: 'checks',
        hasNode: (name) => nodes.get(name) !== undefined,
        status: (node, id) => checks.get(checkKey(node, id))?.value.Status,
        nodeOf: (entity) => (entity as { readonly Node: string }).Node,
        checkOf: (entity) => ({ node: (entity as CheckRow).Node, checkId: (entity as CheckRow).CheckID }),
      },
      txn: { node: none, service: none, check: none },
    },
    minTtlMs: 10_000,
    clock,
    log: silent,
  });
  await store.start(signal);
  await store.transact((tx) => {
    tx.put(nodes, { Node: 'n1' });
    tx.put(checks, { Node: 'n1', CheckID: 'serfHealth', Status: 'passing' });
    tx.put(checks, { Node: 'n1', CheckID: 'web', Status: 'passing' });
  });
  leading = lead();
});

afterEach(async () => {
  await leading.stop();
  await store.stop();
});

const apply = (operation: KvOperation): Promise<boolean> => kv.writes['kv.apply'](operation);
const put = (Key: string, text = ''): Promise<boolean> => apply({ Verb: 'set', Key, Value: base64(text) });
const remove = (Key: string): Promise<boolean> => apply({ Verb: 'delete', Key });
const entry = (key: string) => kv.reads['kv.get'].produce({ key })[0];
const keyIndex = (key: string): number => store.topics.index(kv.reads['kv.get'].topics({ key }));
const prefixIndex = (prefix: string): number => store.topics.index(kv.reads['kv.list'].topics({ prefix }));
const keys = (prefix: string, separator = ''): readonly string[] => kv.reads['kv.keys'].produce({ prefix, separator });
const session = async (args: object = {}): Promise<string> =>
  (await kv.writes['sessions.create']({ Node: 'n1', LockDelay: 0, NodeChecks: ['serfHealth'], ...args })).ID;
const lock = (Key: string, Session: string): Promise<boolean> => apply({ Verb: 'lock', Key, Session });
const sessions = (): readonly string[] => kv.reads['sessions.list'].produce({}).map(({ ID }) => ID);

describe('keys', () => {
  it('are listed in the order of their bytes, whatever those are', async () => {
    for (const key of ['é', 'z', 'a/b', 'a', '\udcff', '😀', 'a\u0000']) await put(key, key);
    expect(keys('')).toEqual(['a', 'a\u0000', 'a/b', 'z', 'é', '😀', '\ufffd']);
    expect(entry('\udcff')).toBeDefined();
    expect(keys('\udcc3')).toEqual(['é']);
    expect(keys('', '/')).toEqual(['a', 'a\u0000', 'a/', 'z', 'é', '😀', '\ufffd']);
  });

  it('are refused when the store could not take them, and what is no operation', async () => {
    await expect(put('x'.repeat(1_961))).rejects.toThrow('the key is too long');
    await expect(put('é'.repeat(500))).rejects.toThrow('the key is too long');
    await expect(put('x'.repeat(1_960))).resolves.toBe(true);
    await expect(put('')).rejects.toThrow('Must provide key');
    for (const wrong of [{ Value: '"' }, { Flags: '1,"x":2' }, { Flags: '18446744073709551616' }, { Index: -1 }])
      await expect(apply({ Verb: 'set', Key: 'k', ...wrong } as KvOperation)).rejects.toThrow('operation on keys');
    await expect(apply({ Verb: 'constructor', Key: 'k' })).rejects.toThrow('unknown KV verb');
  });

  it('keep their revision when they are written as they are', async () => {
    await put('a', '1');
    const before = entry('a')?.ModifyIndex;
    await put('a', '1');
    expect(entry('a')?.ModifyIndex).toBe(before);
    await apply({ Verb: 'set', Key: 'a', Value: base64('1'), Flags: '18446744073709551615' });
    expect(entry('a')?.ModifyIndex).toBeGreaterThan(before as number);
    expect(entry('a')?.Flags).toBe('18446744073709551615');
  });

  it('have indexes that never go back, and move only with their own changes', async () => {
    await put('a/1');
    await put('b/1');
    const [a, b] = [prefixIndex('a/'), prefixIndex('b/')];
    expect(b).toBeGreaterThan(a);
    await put('b/2');
    expect(prefixIndex('a/')).toBe(a);
    expect(keyIndex('a/1')).toBe(a);
    await put('a/2');
    const whole = prefixIndex('a/');
    await remove('a/2');
    const afterDelete = prefixIndex('a/');
    expect(afterDelete).toBeGreaterThan(whole);
    expect(keyIndex('a/2')).toBeGreaterThanOrEqual(afterDelete);
    await put('b/3');
    expect(prefixIndex('a/')).toBe(afterDelete);
    await remove('a/1');
    const none = prefixIndex('a/');
    expect(none).toBeGreaterThan(afterDelete);
    await put('a/1');
    expect(prefixIndex('a/')).toBeGreaterThan(none);
  });

  it('wake who waits for them or their prefix, and no one else', async () => {
    await put('a/1');
    const woken: string[] = [];
    const wait = (name: string, topics: readonly string[]): Promise<unknown> =>
      store.topics.wait(topics, store.revision, signal).then(() => woken.push(name));
    const ended = [
      wait('a/1', kv.reads['kv.get'].topics({ key: 'a/1' })),
      wait('a/2', kv.reads['kv.get'].topics({ key: 'a/2' })),
      wait('a', kv.reads['kv.list'].topics({ prefix: 'a' })),
      wait('', kv.reads['kv.keys'].topics({ prefix: '' })),
    ];
    void wait('b', kv.reads['kv.list'].topics({ prefix: 'b' })).catch(() => undefined);
    await put('a/2');
    await settle();
    expect(woken.sort()).toEqual(['', 'a', 'a/2']);
    await remove('a/1');
    await Promise.all(ended);
    expect(woken.sort()).toEqual(['', 'a', 'a/1', 'a/2']);
  });

  it('go with all that begin with a prefix, however many', async () => {
    for (let n = 0; n < 200; n += 1) await put(`tree/${n}`);
    await put('trunk');
    expect(await apply({ Verb: 'delete-tree', Key: 'tree/' })).toBe(true);
    expect(keys('')).toEqual(['trunk']);
  });

  it('take each of many writers at once', async () => {
    await Promise.all(Array.from({ length: 200 }, (_, n) => put('same', String(n))));
    expect(entry('same')?.Value).toBe(base64('199'));
  });
});

describe('locks', () => {
  it('have one holder, whose plain writes are as anybody’s', async () => {
    const [one, two] = [await session(), await session()];
    expect(await lock('l', one)).toBe(true);
    expect(await lock('l', one)).toBe(true);
    expect(await lock('l', two)).toBe(false);
    expect(entry('l')).toMatchObject({ LockIndex: 1, Session: one });
    await put('l', 'plain');
    expect(entry('l')).toMatchObject({ Session: one, Value: base64('plain') });
    expect(await apply({ Verb: 'unlock', Key: 'l', Session: two })).toBe(false);
    expect(await apply({ Verb: 'unlock', Key: 'l', Session: one })).toBe(true);
    expect(await lock('l', two)).toBe(true);
  });

  it('are let go of with their session, deleted when it says so, and delayed', async () => {
    const one = await session({ LockDelay: 15e9 });
    const two = await session({ Behavior: 'delete', LockDelay: 120e9 });
    const next = await session();
    await lock('kept', one);
    await lock('gone', two);
    await kv.writes['sessions.destroy']({ id: one });
    await kv.writes['sessions.destroy']({ id: two });
    expect(entry('kept')?.Session).toBeUndefined();
    expect(entry('gone')).toBeUndefined();
    for (const key of ['kept', 'gone']) expect(await lock(key, next)).toBe(false);
    expect(kv.tables.holds.size).toBe(0);
    await clock.advance(14_999);
    expect(await lock('kept', next)).toBe(false);
    await clock.advance(2);
    expect(await lock('kept', next)).toBe(true);
    await clock.advance(44_990);
    expect(await lock('gone', next)).toBe(false);
    await clock.advance(20); // a minute at most
    expect(await lock('gone', next)).toBe(true);
    expect(kv.tables.delays.size).toBe(0);
  });

  it('go on being delayed under another leader, for what is left', async () => {
    const one = await session({ LockDelay: 15e9 });
    const next = await session();
    await lock('l', one);
    await kv.writes['sessions.destroy']({ id: one });
    await clock.advance(10_000);
    await leading.stop();
    leading = lead();
    await clock.advance(4_990);
    expect(await lock('l', next)).toBe(false);
    await clock.advance(20);
    expect(await lock('l', next)).toBe(true);
  });

  it('are all let go of, though they are too many for one step', async () => {
    const one = await session({ LockDelay: 1e9 });
    for (let n = 0; n < 600; n += 1) await lock(`many/${n}`, one);
    await kv.writes['sessions.destroy']({ id: one });
    expect(kv.reads['kv.list'].produce({ prefix: 'many/' }).filter(({ Session }) => Session !== undefined)).toEqual([]);
    expect([kv.tables.endings.size, kv.tables.delays.size]).toEqual([0, 600]);
    await clock.advance(1_001);
    expect(kv.tables.delays.size).toBe(0);
  });

  it('are finished by the leader when the end of a session was cut off', async () => {
    const one = await session();
    await lock('l', one);
    await leading.stop();
    await store.transact((tx) => {
      tx.delete(kv.tables.sessions, one);
      tx.delete(kv.tables.holds, one);
      tx.put(kv.tables.endings, { ID: one, LockDelay: 0, Behavior: 'release' });
    });
    expect(await lock('l', await session())).toBe(false);
    leading = lead();
    await settle();
    expect(await lock('l', await session())).toBe(true);
  });
});

describe('sessions', () => {
  it('are refused with what makes no sense', async () => {
    await expect(session({ TTL: '9s' })).rejects.toThrow(
      "Invalid Session TTL '9000000000', must be between [10s=24h0m0s]",
    );
    await expect(session({ TTL: 'x' })).rejects.toThrow("Session TTL 'x' invalid");
    await expect(session({ Node: 'n2' })).rejects.toThrow('Missing node registration');
    await expect(session({ NodeChecks: ['none'] })).rejects.toThrow("Missing check 'none' registration");
    await store.transact((tx) => tx.put(checks, { Node: 'n1', CheckID: 'web', Status: 'critical' }));
    await expect(session({ ServiceChecks: [{ ID: 'web' }] })).rejects.toThrow("Check 'web' is in critical state");
  });

  it('lapse between their TTL and twice that, unless they are renewed', async () => {
    const lapsing = await session({ TTL: '10s' });
    const renewed = await session({ TTL: '10s' });
    const without = await session();
    await clock.advance(10_000);
    expect(sessions()).toContain(lapsing);
    expect(await kv.writes['sessions.renew']({ id: renewed })).toHaveLength(1);
    await clock.advance(10_001);
    expect([...sessions()].sort()).toEqual([renewed, without].sort());
    expect(await kv.writes['sessions.renew']({ id: lapsing })).toEqual([]);
    await clock.advance(10_000);
    expect(sessions()).toEqual([without]);
  });

  it('have all of their time again under another leader, and after this process stood still', async () => {
    const one = await session({ TTL: '10s' });
    await clock.advance(19_000);
    await leading.stop();
    leading = lead();
    await clock.advance(19_999);
    expect(sessions()).toEqual([one]);
    clock.jump(30_000);
    await clock.advance(0);
    expect(sessions()).toEqual([one]);
    await clock.advance(10_001);
    expect(sessions()).toEqual([]);
  });

  it('end with their node, and when a check fails or goes', async () => {
    const onService = await session({ ServiceChecks: [{ ID: 'web' }] });
    const alone = await session({ NodeChecks: [] });
    const other = await session();
    await store.transact((tx) => tx.put(checks, { Node: 'n1', CheckID: 'web', Status: 'warning' }));
    await settle();
    expect(sessions()).toHaveLength(3);
    await store.transact((tx) => tx.put(checks, { Node: 'n1', CheckID: 'web', Status: 'critical' }));
    await settle();
    expect(sessions()).not.toContain(onService);
    await store.transact((tx) => tx.delete(checks, checkKey('n1', 'serfHealth')));
    await settle();
    expect(sessions()).not.toContain(other);
    await store.transact((tx) => tx.delete(nodes, 'n1'));
    await settle();
    expect(sessions()).not.toContain(alone);
  });

  it('that lost their check while there was no leader end once there is one', async () => {
    await session();
    await leading.stop();
    await store.transact((tx) => tx.put(checks, { Node: 'n1', CheckID: 'serfHealth', Status: 'critical' }));
    expect(sessions()).toHaveLength(1);
    leading = lead();
    await settle();
    expect(sessions()).toEqual([]);
  });
});

describe('transactions', () => {
  const txn = (...operations: readonly KvOperation[]) =>
    kv.writes['txn.apply']({ operations: operations.map((KV) => ({ KV })) });

  it('see their own writes, and tell the revision of their commit', async () => {
    await put('t/b', 'b');
    const answer = await txn(
      { Verb: 'set', Key: 't/a', Value: base64('1') },
      { Verb: 'get-tree', Key: 't/' },
      { Verb: 'delete', Key: 't/b' },
      { Verb: 'check-not-exists', Key: 't/b' },
      { Verb: 'get-or-empty', Key: 't/b' },
    );
    expect(answer.Errors).toBeNull();
    expect(answer.Results?.map(({ KV }) => [KV?.Key, KV?.Value])).toEqual([
      ['t/a', null],
      ['t/a', base64('1')],
      ['t/b', base64('b')],
      ['t/b', null],
    ]);
    expect(answer.Results?.[0]?.KV?.ModifyIndex).toBe(entry('t/a')?.ModifyIndex);
    expect(entry('t/b')).toBeUndefined();
  });

  it('do nothing when one operation fails, and tell each that did', async () => {
    await put('a', '1');
    const answer = await txn(
      { Verb: 'set', Key: 'b' },
      { Verb: 'cas', Key: 'a', Index: 1 },
      { Verb: 'check-session', Key: 'a', Session: 'x' },
      { Verb: 'bogus', Key: 'a' },
    );
    expect(answer.Results).toBeNull();
    expect(answer.Errors).toEqual([
      { OpIndex: 1, What: 'failed to set key "a", index is stale' },
      { OpIndex: 2, What: 'failed session check for key "a", current session "" != "x"' },
      { OpIndex: 3, What: 'unknown KV verb "bogus"' },
    ]);
    expect(entry('b')).toBeUndefined();
  });

  it('move a lock with what it guards, and end a session', async () => {
    const one = await session({ LockDelay: 1e9 });
    expect((await txn({ Verb: 'lock', Key: 'l', Session: one }, { Verb: 'set', Key: 'guarded' })).Errors).toBeNull();
    const held = await txn({ Verb: 'lock', Key: 'l', Session: await session() });
    expect(held.Errors).toEqual([{ OpIndex: 0, What: 'failed to lock key "l", lock is already held' }]);
    const ended = await kv.writes['txn.apply']({ operations: [{ Session: { Verb: 'delete', Session: { ID: one } } }] });
    expect(ended.Errors).toBeNull();
    expect(entry('l')?.Session).toBeUndefined();
    const delayed = await txn({ Verb: 'lock', Key: 'l', Session: await session() });
    expect(delayed.Errors).toEqual([{ OpIndex: 0, What: 'failed to lock key "l" due to lock delay' }]);
  });
});
