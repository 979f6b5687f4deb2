import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { FakeClock } from '../../../test/fakes/fake-clock.ts';
import { soleLeader } from '../../../test/fakes/sole-leader.ts';
import { TcpProxy } from '../../../test/fakes/tcp-proxy.ts';
import { startDatacenter } from '../../../test/harness/datacenter.ts';
import { type Clock, systemClock } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import type { KindReplication } from '../../model/replication.ts';
import type { ChangeSource, ChangesMessage } from '../../rpc/contract/changes.ts';
import type { Engine } from '../../store/engine.ts';
import { MemoryEngine } from '../../store/memory/memory-engine.ts';
import { Store } from '../../store/store.ts';
import type { Table } from '../../store/table.ts';
import { noLog, noMetrics } from '../../telemetry/types.ts';
import { createChangeSource } from './change-source.ts';
import { type ReplicatedKind, replicatedTable } from './kinds.ts';
import { createReplicator, type Replicator } from './replicator.ts';

interface Entry {
  readonly name: string;
  readonly text: string;
  readonly needs?: string;
}

const never = new AbortController().signal;
const cleanup: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const step of cleanup.splice(0).reverse()) await step();
});

interface Side {
  readonly engine: Engine;
  readonly store: Store;
  readonly table: Table<Entry>;
  readonly other: Table<Entry>;
  put(...entries: Entry[]): Promise<number>;
  remove(name: string): Promise<number>;
  rows(): Record<string, string>;
}

function openStore(engine: Engine, clock: Clock): Side {
  const store = new Store({ engine, clock, onError: () => undefined });
  const table = store.table<Entry>({ name: 'entries', key: ({ name }) => name });
  const other = store.table<Entry>({ name: 'other', key: ({ name }) => name });
  return {
    engine,
    store,
    table,
    other,
    put: async (...entries) =>
      (
        await store.transact((tx) => {
          for (const one of entries) tx.put(table, one);
        })
      ).revision,
    remove: async (name) => (await store.transact((tx) => tx.delete(table, name))).revision,
    rows: () => Object.fromEntries(table.list().map(({ key, value }) => [key, value.text])),
  };
}

async function startStore(engine: Engine = new MemoryEngine(systemClock), clock: Clock = systemClock): Promise<Side> {
  const side = openStore(engine, clock);
  await side.store.start(never);
  cleanup.push(() => side.store.stop());
  return side;
}

function checkEntry(table: Table<Entry>) {
  return (value: unknown): Entry => {
    const entry = value as Entry;
    if (entry.text === 'poison') throw new IsthmusError('rejected', 'poison is not accepted');
    if (entry.needs !== undefined && table.get(entry.needs) === undefined)
      throw new IsthmusError('rejected', `${entry.needs} must exist first`);
    return entry;
  };
}

function sourceOf(side: Side, clock: Clock = systemClock): ChangeSource {
  const kinds = [{ name: 'entries', table: side.table }];
  return createChangeSource({ datacenter: 'dc1', store: side.store, history: side.engine, kinds, clock });
}

interface Replica extends Side {
  readonly replicator: Replicator;
  status(): KindReplication;
  /** Resolves once the replica shows everything up to the revision. */
  at(revision: number): Promise<void>;
  stop(): Promise<void>;
}

async function startReplica(
  source: ChangeSource,
  options: { engine?: Engine; clock?: Clock; kind?: (table: Table<Entry>) => ReplicatedKind } = {},
): Promise<Replica> {
  const { engine = new MemoryEngine(systemClock), clock = systemClock } = options;
  const side = openStore(engine, clock);
  const kind = options.kind ?? ((table) => replicatedTable('entries', table, checkEntry(table)));
  const replicator = createReplicator({
    datacenter: 'dc2',
    primaryDatacenter: 'dc1',
    kinds: [kind(side.table)],
    source,
    store: side.store,
    leadership: soleLeader(side.store, clock),
    clock,
    log: noLog,
    metrics: noMetrics,
    timings: { refusedMs: 20, reconnectMs: 50 },
  });
  await side.store.start(never);
  await replicator.service.start(never);
  let running = true;
  const stop = async (): Promise<void> => {
    if (!running) return;
    running = false;
    await replicator.service.stop();
    await side.store.stop();
  };
  cleanup.push(stop);
  return {
    ...side,
    replicator,
    status: () => replicator.reads['replication.status'].produce({}).Kinds[0] as KindReplication,
    at: (revision) => replicator.waitApplied('entries', revision, never),
    stop,
  };
}

/** Calls `look` after every turn of the event loop until it gives something. */
async function eventually<T>(look: () => T | undefined | false): Promise<T> {
  const giveUp = Date.now() + 20_000; // only for a test that fails
  for (;;) {
    const found = look();
    if (found !== undefined && found !== false) return found;
    if (Date.now() > giveUp) throw new Error('it never happened');
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** An engine whose commits are something else. */
function wrapEngine(engine: Engine, txn: Engine['txn']): Engine {
  return {
    get epoch() {
      return engine.epoch;
    },
    shared: engine.shared,
    txn,
    contact: () => engine.contact(),
    currentRevision: () => engine.currentRevision(),
    range: (query) => engine.range(query),
    watch: (query) => engine.watch(query),
    compact: (revision) => engine.compact(revision),
    grantLease: (ttlMs) => engine.grantLease(ttlMs),
    keepLease: (id) => engine.keepLease(id),
    revokeLease: (id) => engine.revokeLease(id),
    snapshot: (signal) => engine.snapshot(signal),
    restore: (pages, options) => engine.restore(pages, options),
    close: () => engine.close(),
  };
}

const entry = (name: string, text = name): Entry => ({ name, text });

describe('replication in process', () => {
  it('starts from a snapshot, then follows, and writes only what differs', async () => {
    const primary = await startStore();
    await primary.put(entry('a'), entry('b'));
    const replica = await startReplica(sourceOf(primary));
    await replica.at(primary.store.revision);
    expect(replica.rows()).toEqual({ a: 'a', b: 'b' });
    await primary.put(entry('c'));
    await replica.at(await primary.remove('a'));
    expect(replica.rows()).toEqual({ b: 'b', c: 'c' });
    expect(replica.status()).toMatchObject({
      Kind: 'entries',
      State: 'following',
      Reason: '',
      SourceDatacenter: 'dc1',
      LagRevisions: 0,
      LagSeconds: 0,
      Quarantined: [],
    });

    await replica.stop();
    const before = (await replica.engine.range({ prefix: '' })).revision;
    const again = await startReplica(sourceOf(primary), { engine: replica.engine });
    await eventually(() => again.status().State === 'following');
    await primary.store.transact((tx) => tx.put(primary.other, entry('elsewhere')));
    await again.at(primary.store.revision); // other tables' commits count as progress
    expect(again.store.revision).toBe(before);
  });

  it('goes on from its cursor with the changes that it missed, also when they were deletions', async () => {
    const primary = await startStore();
    await primary.put(entry('a'), entry('b'), entry('c'));
    const seen: ChangesMessage[] = [];
    const source: ChangeSource = {
      async *changes(request, signal) {
        for await (const message of sourceOf(primary).changes(request, signal)) {
          seen.push(message);
          yield message;
        }
      },
    };
    const first = await startReplica(source);
    await first.at(primary.store.revision);
    await first.stop();
    await primary.remove('a');
    await primary.put(entry('b', 'changed'));
    seen.length = 0;
    const second = await startReplica(source, { engine: first.engine });
    await second.at(primary.store.revision);
    expect(second.rows()).toEqual({ b: 'changed', c: 'c' });
    expect(seen[0]).toMatchObject({ type: 'begin', snapshot: false });
    expect(
      seen.flatMap((message) => (message.type === 'changes' ? message.changes.map(({ key }) => key) : [])),
    ).toEqual(['a', 'b']);

    // When the history is gone, a snapshot does the same.
    await second.stop();
    await primary.remove('b');
    await primary.put(entry('d'));
    await primary.engine.compact(primary.store.revision);
    seen.length = 0;
    const third = await startReplica(source, { engine: second.engine });
    await third.at(primary.store.revision);
    expect(third.rows()).toEqual({ c: 'c', d: 'd' });
    expect(seen[0]).toMatchObject({ type: 'begin', snapshot: true });
  });

  it('sets a poisoned entry aside, and takes the other 999 and its cure', async () => {
    const primary = await startStore();
    const entries = Array.from({ length: 1_000 }, (_, index) => entry(`e${index}`, index === 500 ? 'poison' : 'good'));
    await primary.put(...entries);
    const replica = await startReplica(sourceOf(primary));
    await replica.at(primary.store.revision);
    expect(replica.table.size).toBe(999);
    expect(replica.status().Quarantined).toEqual([
      { Key: 'e500', Revision: 1, Error: 'poison is not accepted', Since: expect.stringMatching(/Z$/) },
    ]);
    await replica.at(await primary.put(entry('more')));
    expect(replica.table.size).toBe(1_000);
    expect(replica.status().Quarantined).toHaveLength(1);
    await replica.at(await primary.put(entry('e500', 'cured')));
    expect(replica.status().Quarantined).toEqual([]);
    expect(replica.rows().e500).toBe('cured');

    await replica.at(await primary.put(entry('e1', 'poison')));
    expect(replica.rows().e1).toBe('good'); // the last good state stays
    await replica.at(await primary.remove('e1'));
    expect(replica.rows().e1).toBeUndefined();
    expect(replica.status().Quarantined).toEqual([]);
  });

  it('tries a quarantined entry again when what it needs has arrived', async () => {
    const primary = await startStore();
    await primary.put({ ...entry('x'), needs: 'y' });
    await primary.put({ ...entry('y'), needs: 'z' });
    const replica = await startReplica(sourceOf(primary));
    await replica.at(primary.store.revision);
    expect(replica.status().Quarantined.map(({ Key, Error: error }) => [Key, error])).toEqual([
      ['x', 'y must exist first'],
      ['y', 'z must exist first'],
    ]);
    await replica.at(await primary.put(entry('z')));
    // the check looks at the view, which shows z, then y, a commit later
    await replica.at(await primary.put(entry('w')));
    await replica.at(await primary.put(entry('v')));
    expect(replica.rows()).toMatchObject({ x: 'x', y: 'y', z: 'z' });
    expect(replica.status().Quarantined).toEqual([]);
  });

  it('quarantines an entry that the engine itself refuses', async () => {
    const primary = await startStore();
    await primary.put(...Array.from({ length: 50 }, (_, index) => entry(`e${index}`)));
    const memory = new MemoryEngine(systemClock);
    const picky = wrapEngine(memory, async (txn) => {
      if (txn.ops.some(({ key }) => key === 'entries/e17')) throw new IsthmusError('too_large', 'e17 is too large');
      return memory.txn(txn);
    });
    const replica = await startReplica(sourceOf(primary), { engine: picky });
    await replica.at(primary.store.revision);
    expect(replica.table.size).toBe(49);
    expect(replica.status().Quarantined).toMatchObject([{ Key: 'e17', Error: 'e17 is too large' }]);
    await replica.at(await primary.put(entry('next')));
    expect(replica.table.size).toBe(50);
    expect(replica.status().Quarantined).toHaveLength(1);
  });

  it('writes together what came while a commit was on its way', async () => {
    const primary = await startStore();
    const memory = new MemoryEngine(systemClock);
    let open: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    const slow = wrapEngine(memory, async (txn) => {
      await gate;
      return memory.txn(txn);
    });
    const replica = await startReplica(sourceOf(primary), { engine: slow });
    for (let batch = 0; batch < 100; batch += 1) {
      await primary.put(...Array.from({ length: 100 }, (_, index) => entry(`e${batch}-${index}`)));
    }
    open();
    await replica.at(primary.store.revision);
    expect(replica.table.size).toBe(10_000);
    expect(replica.store.revision).toBeLessThan(20);
  });
});

describe('the edges of replication', () => {
  it('takes a commit of many rows in parts, and knows what it can be asked', async () => {
    const primary = await startStore();
    const replica = await startReplica(sourceOf(primary));
    await replica.at(await primary.put(...Array.from({ length: 3_500 }, (_, index) => entry(`e${index}`))));
    expect(replica.table.size).toBe(3_500);
    const abort = new AbortController();
    const waiting = replica.replicator.waitApplied('entries', primary.store.revision + 1, abort.signal);
    abort.abort(new IsthmusError('deadline', 'too late'));
    await expect(waiting).rejects.toMatchObject({ code: 'deadline' });
    const unknown = replica.replicator.waitApplied('others', 1, never);
    await expect(unknown).rejects.toMatchObject({ code: 'not_found' });
    expect(() => sourceOf(primary).changes({ kind: 'others' }, never)).toThrow('does not replicate "others"');
  });

  it('quarantines an entry that lies about its key', async () => {
    const primary = await startStore();
    const replica = await startReplica(sourceOf(primary), {
      kind: (table) => replicatedTable('entries', table, (value) => ({ ...(value as Entry), name: 'b' })),
    });
    await replica.at(await primary.put(entry('a'), entry('b')));
    expect(replica.rows()).toEqual({ b: 'b' });
    expect(replica.status().Quarantined).toMatchObject([
      { Key: 'a', Error: 'the entry under key "a" says that its key is "b"' },
    ]);
  });

  it('is off in the primary', async () => {
    const { store, table } = openStore(new MemoryEngine(systemClock), systemClock);
    const primary = createReplicator({
      datacenter: 'dc1',
      primaryDatacenter: 'dc1',
      kinds: [replicatedTable('entries', table, (value) => value as Entry)],
      source: { changes: () => expect.fail('the primary follows nobody') },
      store,
      leadership: soleLeader(store, systemClock),
      clock: systemClock,
      log: noLog,
      metrics: noMetrics,
    });
    await primary.service.start(never);
    await primary.waitApplied('entries', 99, never);
    expect(primary.reads['replication.status'].topics({})).toEqual([]); // state and lag change without writes
    expect(primary.reads['replication.status'].produce({})).toMatchObject({
      Datacenter: 'dc1',
      Primary: true,
      Kinds: [{ Kind: 'entries', State: 'off', LagSeconds: 0 }],
    });
    await primary.service.stop();
  });
});

describe('a source that is not the one from before', () => {
  async function replicated() {
    const primary = await startStore();
    await primary.put(...Array.from({ length: 10 }, (_, index) => entry(`e${index}`)));
    const replica = await startReplica(sourceOf(primary));
    await replica.at(primary.store.revision);
    return { primary, replica };
  }

  /** The store as it was at a revision, in the same epoch: a copy of an older data directory. */
  async function olderCopy(of: Side, revision: number): Promise<Side> {
    const copy = new MemoryEngine(systemClock);
    Object.defineProperty(copy, 'epoch', { value: of.engine.epoch });
    const controller = new AbortController();
    for await (const commit of of.engine.watch({ prefix: '', fromRevision: 1, signal: controller.signal })) {
      if (commit.revision > revision) break;
      const ops = commit.changes.map((change) =>
        change.type === 'put'
          ? ({ type: 'put', key: change.key, value: change.value } as const)
          : ({ type: 'delete', key: change.key } as const),
      );
      await copy.txn({ compare: [], ops });
      if (commit.revision === revision) break;
    }
    controller.abort();
    return startStore(copy);
  }

  it('is not followed when it went back in time, and neither once it has passed the old revision', async () => {
    const { primary, replica } = await replicated();
    await replica.at(await primary.put(entry('late')));
    await replica.stop();
    const older = await olderCopy(primary, 1);
    const second = await startReplica(sourceOf(older), { engine: replica.engine });
    const refused = await eventually(() => second.status().State === 'refused' && second.status());
    expect(refused.Reason).toMatch(
      /^the store of datacenter "dc1" went back in time: it is at revision 1, but revision 2/,
    );
    for (let index = 0; index < 5; index += 1) await older.put(entry(`other${index}`));
    await eventually(() => second.status().Reason.includes('does not hold what was replicated'));
    expect(Object.keys(second.rows())).toHaveLength(11);
    expect(second.rows()).toHaveProperty('late');

    // The right store comes back: no operator has to act.
    await second.stop();
    const third = await startReplica(sourceOf(primary), { engine: replica.engine });
    await third.at(await primary.put(entry('later')));
    expect(third.rows()).toMatchObject({ late: 'late', later: 'later' });
    expect(third.status()).toMatchObject({ State: 'following', Reason: '' });

    // The operator may also decide that the older store is right.
    await third.stop();
    const fourth = await startReplica(sourceOf(older), { engine: replica.engine });
    await eventually(() => fourth.status().State === 'refused');
    await fourth.replicator.writes['replication.acceptSource']({ kind: 'entries' });
    await eventually(() => fourth.status().State === 'following');
    expect(fourth.rows()).toEqual(older.rows());
  });

  it('may have deleted most rows during a disconnection, if it can prove to be the one from before', async () => {
    const { primary, replica } = await replicated();
    await replica.stop();
    for (let index = 0; index < 9; index += 1) await primary.remove(`e${index}`);
    await primary.engine.compact(primary.store.revision);
    const second = await startReplica(sourceOf(primary), { engine: replica.engine }); // e9, its proof, is still there
    await second.at(primary.store.revision);
    expect(second.rows()).toEqual({ e9: 'e9' });
  });

  it('may not, when what would prove it has been compacted away', async () => {
    const { primary, replica } = await replicated();
    await replica.stop();
    for (let index = 4; index < 10; index += 1) await primary.remove(`e${index}`);
    await primary.engine.compact(primary.store.revision);
    const second = await startReplica(sourceOf(primary), { engine: replica.engine });
    await eventually(() => second.status().Reason.includes('lacks 6 of them'));
    expect(second.table.size).toBe(10);
    await second.replicator.writes['replication.acceptSource']({ kind: 'entries' });
    await second.at(primary.store.revision);
    expect(second.rows()).toEqual(primary.rows());
  });

  it('does not empty or decimate the replica when its store is new', async () => {
    const { replica } = await replicated();
    await replica.stop();
    const empty = await startStore();
    const second = await startReplica(sourceOf(empty), { engine: replica.engine });
    await eventually(() => second.status().State === 'refused');
    expect(second.status().Reason).toMatch(
      /^10 entries are here, and the store of datacenter "dc1" is another one than before and is empty/,
    );
    await empty.put(...Array.from({ length: 6 }, (_, index) => entry(`e${index}`)));
    await eventually(() => second.status().Reason.includes('lacks 4 of them'));
    expect(second.table.size).toBe(10);
    await empty.put(...Array.from({ length: 9 }, (_, index) => entry(`e${index}`, 'restored')));
    await eventually(() => second.status().State === 'following');
    await second.at(empty.store.revision);
    expect(second.rows()).toEqual(empty.rows());
  });
});

describe('replication over a network', () => {
  async function pair(clock: Clock = systemClock) {
    const primary = await startStore(new MemoryEngine(systemClock), clock);
    const wire = await TcpProxy.open(() => dc1.wanPort);
    cleanup.push(() => wire.close());
    const dc1 = await startDatacenter({
      datacenter: 'dc1',
      changes: sourceOf(primary, clock),
      clock,
      advertise: () => wire.port,
    });
    cleanup.push(() => dc1.stop());
    const dc2 = await startDatacenter({ datacenter: 'dc2', join: [wire.port], clock });
    cleanup.push(() => dc2.stop());
    return { primary, wire, dc1, dc2 };
  }

  it('resumes after a cut', async () => {
    const { primary, wire, dc2 } = await pair();
    const replica = await startReplica(dc2.federation.changes('dc1'));
    await replica.at(await primary.put(entry('a')));
    wire.mode = 'cut';
    await primary.put(entry('b'));
    await primary.remove('a');
    await eventually(() => replica.status().State === 'connecting');
    wire.mode = 'pass';
    await replica.at(primary.store.revision);
    expect(replica.rows()).toEqual({ b: 'b' });
    expect(replica.status().State).toBe('following');
  });

  it('counts as stalled within 10 s of silence, with the reason and the lag', async () => {
    const clock = new FakeClock();
    const primary = await startStore();
    let silent = false;
    const source: ChangeSource = {
      async *changes(request, signal) {
        for await (const message of sourceOf(primary, clock).changes(request, signal)) {
          if (silent) await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
          yield message;
        }
      },
    };
    const replica = await startReplica(source, { clock });
    await replica.at(await primary.put(entry('a')));
    await clock.advance(60_000); // heartbeats keep it fresh
    expect(replica.status()).toMatchObject({ State: 'following', LagSeconds: 0 });
    silent = true;
    const since = new Date(clock.now()).toISOString();
    await clock.set(-3_600_000); // a clock that is set back hides nothing
    await clock.advance(11_000);
    expect(replica.status()).toMatchObject({
      State: 'stalled',
      Reason: `nothing heard from datacenter "dc1" since ${since}`,
    });
    expect(replica.status().LagSeconds).toBeGreaterThanOrEqual(10);
    silent = false;
    await clock.advance(12_000); // the next try was met by silence too and is given up after as long
    expect(replica.status()).toMatchObject({ State: 'following', Reason: '', LagSeconds: 0 });
  });

  it('converges to the same rows whatever is written, cut and restarted', async () => {
    const step = fc.oneof(
      {
        weight: 8,
        arbitrary: fc.record({
          do: fc.constant('put' as const),
          key: fc.nat(5),
          text: fc.constantFrom('1', '2', 'poison'),
        }),
      },
      { weight: 3, arbitrary: fc.record({ do: fc.constant('remove' as const), key: fc.nat(5) }) },
      {
        weight: 2,
        arbitrary: fc.record({
          do: fc.constantFrom('cut' as const, 'restart' as const, 'compact' as const, 'yield' as const),
        }),
      },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const outer = cleanup.splice(0);
        try {
          const { primary, wire, dc2 } = await pair();
          let replica = await startReplica(dc2.federation.changes('dc1'));
          for (const action of steps) {
            if (action.do === 'put') await primary.put(entry(`k${action.key}`, action.text));
            else if (action.do === 'remove') await primary.remove(`k${action.key}`);
            else if (action.do === 'compact') await primary.engine.compact(primary.store.revision);
            else if (action.do === 'yield') await new Promise((resolve) => setImmediate(resolve));
            else if (action.do === 'cut') {
              wire.mode = 'cut';
              wire.mode = 'pass';
            } else {
              await replica.stop();
              replica = await startReplica(dc2.federation.changes('dc1'), { engine: replica.engine });
            }
          }
          await replica.at(primary.store.revision);
          const wanted = Object.entries(primary.rows()).filter(([, text]) => text !== 'poison');
          const poisoned = Object.keys(primary.rows()).filter((key) => primary.rows()[key] === 'poison');
          const got = Object.entries(replica.rows()).filter(([key]) => !poisoned.includes(key));
          expect(got).toEqual(wanted);
          expect(replica.status().Quarantined.map(({ Key }) => Key)).toEqual(poisoned);
        } finally {
          for (const stop of cleanup.splice(0).reverse()) await stop();
          cleanup.push(...outer);
        }
      }),
      { numRuns: 25 },
    );
  }, 60_000);
});
