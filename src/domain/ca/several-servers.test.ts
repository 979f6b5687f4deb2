import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { caProviders, holderReport, leafCsr, verifyAgainst } from '../../../test/fakes/ca-datacenter.ts';
import { FakeClock, settle } from '../../../test/fakes/fake-clock.ts';
import { ServerProcess } from '../../../test/fakes/server-process.ts';
import { createLeadership, type Leadership } from '../../store/leadership.ts';
import { MemoryEngine } from '../../store/memory/memory-engine.ts';
import { Store } from '../../store/store.ts';
import { type Logger, noLog, noMetrics } from '../../telemetry/types.ts';
import { type Ca, createCa } from './ca.ts';

const TTL_MS = 10_000;
const never = new AbortController().signal;

let clock: FakeClock;
let engine: MemoryEngine;
const ends: (() => Promise<void>)[] = [];

interface CaServer {
  readonly process: ServerProcess;
  readonly leadership: Leadership;
  readonly ca: Ca;
}

/** One of several servers of the primary. */
async function start(name: string, keyEncryptionKey?: Buffer, log: Logger = noLog): Promise<CaServer> {
  const process = new ServerProcess(clock, engine);
  const store = new Store({ engine: process, clock: process, onError: () => undefined });
  const leadership = createLeadership(
    { store, clock: process, log: noLog, metrics: noMetrics, id: name, node: name, instance: name },
    { ttlMs: TTL_MS },
  );
  const ca = createCa(
    {
      store,
      leadership,
      clock: process,
      log,
      metrics: noMetrics,
      providers: caProviders(process),
      datacenter: 'dc1',
      primaryDatacenter: 'dc1',
      ...(keyEncryptionKey === undefined ? {} : { keyEncryptionKey }),
    },
    { distributeBoundMs: 60_000 },
  );
  await store.start(never);
  await leadership.service.start(never);
  ends.push(async () => {
    process.heal();
    await process.resume();
    await ca.service.stop();
    await leadership.service.stop();
    await store.stop();
  });
  await ca.service.start(never);
  return { process, leadership, ca };
}

beforeEach(() => {
  clock = new FakeClock();
  engine = new MemoryEngine(clock);
});

afterEach(async () => {
  await Promise.all(ends.splice(0).map((end) => end()));
});

const roots = ({ ca }: CaServer) => ca.reads['ca.roots'].produce({});
const rotation = ({ ca }: CaServer) => ca.reads['ca.rotation'].produce({});
const sign = ({ ca }: CaServer, service = 'web') => ca.signLeaf({ csr: leafCsr(ca, 'dc1', service) });

describe('several servers of one datacenter', () => {
  it('make one root, and each signs leaves under it', async () => {
    const servers = await Promise.all(['one', 'two', 'three'].map((name) => start(name)));
    await settle();
    for (const server of servers) {
      expect(roots(server).Roots).toHaveLength(1);
      expect(roots(server)).toEqual(roots(servers[0] as CaServer));
      const leaf = await sign(server);
      for (const other of servers) expect(verifyAgainst(leaf, roots(other), clock.now())).not.toBe('');
    }
    expect((await engine.range({ prefix: 'ca-keys/' })).rows).toHaveLength(1);
  });

  it('rotate once, waiting for the holders that report to any of them, over a change of the leader', async () => {
    const [one, two, three] = [await start('one'), await start('two'), await start('three')];
    const old = roots(one).ActiveRootID;
    await two.ca.reportHolder(holderReport('node-2', { RootIDs: [old], LeavesByRoot: { [old]: 1 } }));
    await three.ca.reportHolder(holderReport('node-3', { RootIDs: [old], LeavesByRoot: { [old]: 1 } }));
    const { NewRootID } = await one.ca.rotate({});
    await settle();
    expect(rotation(three)).toMatchObject({ Phase: 'distributing', NewRootID, LeavesTotal: 2 });

    one.process.pause();
    await clock.advance(TTL_MS);
    const both = [old, NewRootID];
    await two.ca.reportHolder(holderReport('node-2', { RootIDs: both, LeavesByRoot: { [old]: 1 } }));
    await settle();
    expect(rotation(two).Holds).toEqual([expect.stringContaining('node-3')]);
    await three.ca.reportHolder(holderReport('node-3', { RootIDs: both, LeavesByRoot: { [old]: 1 } }));
    await settle();
    for (const server of [two, three]) {
      expect(rotation(server).Phase).toBe('moving');
      expect((await sign(server)).RootID).toBe(NewRootID);
    }
    for (const [server, node] of [
      [two, 'node-2'],
      [three, 'node-3'],
    ] as const)
      await server.ca.reportHolder(holderReport(node, { RootIDs: both, LeavesByRoot: { [NewRootID]: 1 } }));
    await clock.advance(60_000);
    expect(roots(two).Roots.map((root) => root.ID)).toEqual([NewRootID]);

    await one.process.resume();
    await settle();
    expect(roots(one).Roots.map((root) => root.ID)).toEqual([NewRootID]);
    expect((await sign(one)).RootID).toBe(NewRootID);
  });

  it('let only the leader rotate', async () => {
    await start('one');
    const two = await start('two');
    await expect(two.ca.rotate({})).rejects.toMatchObject({ code: 'unavailable' });
    expect(rotation(two).Phase).toBe('idle');
  });

  it('sign nothing once they have not reached the store for long', async () => {
    const one = await start('one');
    one.process.cutOff();
    await clock.advance(10_000);
    await sign(one);
    await clock.advance(1_000);
    await expect(sign(one)).rejects.toMatchObject({
      code: 'unavailable',
      message: 'this server has not reached its store for 11 s and signs nothing until it does',
    });
    one.process.heal();
    await sign(one);
  });
});

describe('CA keys that are encrypted at rest', () => {
  const text = 'the CA keys are encrypted: set connect.ca_key_encryption_file to their key';

  it('stop a server without the key from starting', async () => {
    await start('one', randomBytes(32));
    await expect(start('two')).rejects.toMatchObject({ message: text });
  });

  it('stop a server without the key from signing under a later one, and that is logged', async () => {
    const told: unknown[] = [];
    const log: Logger = { ...noLog, warn: (...entry) => told.push(entry), child: () => log };
    const one = await start('one', undefined, log);
    await sign(one);
    const two = await start('two', randomBytes(32));
    await settle();
    await sign(one); // with the key that it had before
    await expect(one.ca.rotate({})).rejects.toMatchObject({ message: text }); // nothing is written in the clear again
    await one.leadership.service.stop();
    await settle();
    await two.ca.rotate({});
    await clock.advance(1_000);
    await sign(two);
    await expect(sign(one)).rejects.toMatchObject({ message: text });
    expect(JSON.stringify(told)).toContain(text);
  });
});
