import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startCa } from '../../test/fakes/ca-datacenter.ts';
import { FakeClock } from '../../test/fakes/fake-clock.ts';
import { hasCode, IsthmusError } from '../lib/errors.ts';
import type { SnapshotContract } from '../rpc/contract/snapshots.ts';
import type { SnapshotMetadata, StateRow } from '../snapshot/format.ts';
import { openArchive } from '../snapshot/read.ts';
import { writeArchive } from '../snapshot/write.ts';
import { noLog, noMetrics } from '../telemetry/types.ts';
import { Snapshots, type SnapshotsDeps } from './snapshots.ts';

const never = new AbortController().signal;
const HOUR = 3_600_000;
const KEY = Buffer.alloc(32, 7);

let clock: FakeClock;
let stops: (() => Promise<void>)[];

beforeEach(() => {
  clock = new FakeClock();
  stops = [];
});
afterEach(async () => {
  for (const stop of stops) await stop();
});

/** The key for snapshots of one data directory. */
function snapshotKey(key?: Buffer): SnapshotsDeps['key'] {
  let made = key;
  return {
    present: () => made,
    make() {
      made ??= randomBytes(32);
      return made;
    },
  };
}

/** A primary with a CA over a store in memory. @param sealing the operator's key for private keys at rest */
async function primary(options: { sealing?: Buffer } & Partial<SnapshotsDeps> = {}) {
  const { sealing, ...overrides } = options;
  const dc = await startCa('dc1', clock, sealing === undefined ? {} : { keyEncryptionKey: sealing });
  stops.push(() => dc.stop());
  const deps: SnapshotsDeps = {
    datacenter: 'dc1',
    primaryDatacenter: 'dc1',
    node: 's1',
    version: '0.1.0',
    store: dc.store,
    ca: dc.ca,
    secrets: [dc.ca.keys.rows],
    key: snapshotKey(),
    isNew: () => true,
    authorize: async () => undefined,
    remote: () => {
      throw new IsthmusError('no_path', 'No path to datacenter');
    },
    clock,
    log: noLog,
    metrics: noMetrics,
    ...overrides,
  };
  const snapshots = new Snapshots(deps);
  return { dc, snapshots, key: deps.key };
}

async function saved(snapshots: SnapshotContract): Promise<Buffer> {
  const { archive } = await snapshots.save({ signal: never });
  const chunks: Uint8Array[] = [];
  for await (const chunk of archive) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function* once(archive: Buffer): AsyncGenerator<Buffer, void, void> {
  yield archive;
}

async function opened(archive: Buffer): Promise<{ metadata: SnapshotMetadata; rows: StateRow[] }> {
  const { metadata, pages } = await openArchive(once(archive));
  const rows: StateRow[] = [];
  for await (const page of pages) rows.push(...page);
  return { metadata, rows };
}

/** The archive with other metadata or rows, and sums that match. */
async function changed(
  archive: Buffer,
  metadata: Partial<SnapshotMetadata>,
  rows: (rows: StateRow[]) => StateRow[] = (all) => all,
): Promise<Buffer> {
  const was = await opened(archive);
  const pages = (async function* () {
    yield rows(was.rows);
  })();
  const chunks: Buffer[] = [];
  for await (const chunk of writeArchive({ ...was.metadata, ...metadata }, pages)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

describe('saving', () => {
  it('tells what was saved', async () => {
    const { dc, snapshots } = await primary();
    const { index } = await snapshots.save({ signal: never });
    const { metadata, rows } = await opened(await saved(snapshots));
    expect(metadata).toEqual({
      Format: 1,
      ID: `dc1-${index}-${clock.now()}`,
      Datacenter: 'dc1',
      PrimaryDatacenter: 'dc1',
      TrustDomain: dc.ca.trustDomain(),
      Node: 's1',
      ProgramVersion: '0.1.0',
      Index: dc.store.revision,
      Epoch: dc.store.epoch,
      Created: new Date(clock.now()).toISOString(),
      PrivateKeys: 'sealed',
      SealedWith: 'snapshot.key',
    });
    expect(rows.map(({ key }) => key.split('/')[0])).toContain('ca-keys');
  });

  it('takes all rights, as restoring does, and goes to the datacenter that is asked for', async () => {
    const { snapshots } = await primary({
      authorize: async () => {
        throw new IsthmusError('permission_denied', 'Permission denied');
      },
    });
    await expect(snapshots.save({ signal: never })).rejects.toMatchObject({ code: 'permission_denied' });
    await expect(snapshots.restore(once(Buffer.alloc(0)), { signal: never })).rejects.toMatchObject({
      code: 'permission_denied',
    });
    await expect(snapshots.save({ signal: never, datacenter: 'dc9' })).rejects.toMatchObject({ code: 'no_path' });
  });
});

describe('restoring', () => {
  it('gives a new server the certificates of the old one, above every revision the old one can have sent', async () => {
    const old = await primary();
    const archive = await saved(old.snapshots);
    const { metadata } = await opened(archive);
    const leaf = await old.dc.leaf('web');
    await clock.advance(HOUR);
    const fresh = await primary({ key: snapshotKey(old.key.make()) });
    expect(fresh.dc.ca.trustDomain()).not.toBe(old.dc.ca.trustDomain());
    const { index } = await fresh.snapshots.restore(once(archive), { signal: never });
    expect(index).toBeGreaterThan(metadata.Index + HOUR);
    expect(fresh.dc.store.revision).toBeGreaterThanOrEqual(index);
    expect(fresh.dc.roots()).toMatchObject({
      ActiveRootID: old.dc.roots().ActiveRootID,
      TrustDomain: old.dc.roots().TrustDomain,
    });
    const again = await fresh.dc.leaf('web');
    expect(again.RootID).toBe(leaf.RootID);
  });

  it('seals the keys of a snapshot that has them in the clear, and needs the key for sealed ones', async () => {
    const open = await primary();
    const clear = await changed(await saved(open.snapshots), { PrivateKeys: 'clear' }, (rows) =>
      rows.map((row) => open.dc.ca.keys.rows.arriving(row, open.key.present())),
    );
    // as versions before wrote it
    expect((await opened(clear)).rows.map(({ value }) => value).join()).toContain('PRIVATE KEY');
    const sealed = await primary({ sealing: KEY });
    await sealed.snapshots.restore(once(clear), { signal: never });
    expect(sealed.dc.ca.keys.atRest()).toBe('sealed');
    expect((await sealed.dc.leaf('web')).RootID).toBe(open.dc.roots().ActiveRootID);
    const archive = await saved(sealed.snapshots);
    expect((await opened(archive)).metadata).toMatchObject({
      PrivateKeys: 'sealed',
      SealedWith: 'ca_key_encryption_file',
    });
    expect((await opened(archive)).rows.map(({ value }) => value).join()).not.toContain('PRIVATE KEY');

    for (const [key, text] of [
      [undefined, /are sealed: set connect.ca_key_encryption_file/],
      [Buffer.alloc(32, 8), /cannot be decrypted/],
    ] as const) {
      const other = await primary(key === undefined ? {} : { sealing: key });
      const before = other.dc.roots();
      await expect(other.snapshots.restore(once(archive), { signal: never })).rejects.toThrow(text);
      expect(other.dc.roots()).toEqual(before);
    }
    const same = await primary({ sealing: KEY });
    await same.snapshots.restore(once(archive), { signal: never });
    expect((await same.dc.leaf('web')).RootID).toBe(open.dc.roots().ActiveRootID);
  });

  it('takes the keys of a server without a sealing key with its key for snapshots, and with nothing else', async () => {
    const old = await primary();
    const archive = await saved(old.snapshots);
    const { metadata, rows } = await opened(archive);
    expect(metadata).toMatchObject({ PrivateKeys: 'sealed', SealedWith: 'snapshot.key' });
    expect(rows.map(({ value }) => value).join()).not.toContain('PRIVATE KEY');
    expect(old.dc.ca.keys.atRest()).toBe('clear'); // in its own store nothing has changed
    for (const [key, text] of [
      [undefined, /are sealed: set connect.ca_key_encryption_file .* copy that server's snapshot.key into data_dir/],
      [Buffer.alloc(32, 8), /cannot be decrypted with the key that this server has/],
    ] as const) {
      const other = await primary({ key: snapshotKey(key) });
      const before = other.dc.roots();
      await expect(other.snapshots.restore(once(archive), { signal: never })).rejects.toThrow(text);
      expect(other.dc.roots()).toEqual(before);
    }
    const fresh = await primary({ key: snapshotKey(old.key.make()) });
    await fresh.snapshots.restore(once(archive), { signal: never });
    expect(fresh.dc.roots().ActiveRootID).toBe(old.dc.roots().ActiveRootID);
    expect((await fresh.dc.leaf('web')).RootID).toBe(old.dc.roots().ActiveRootID);
  });

  it('refuses what is not meant for this datacenter, unless forced', async () => {
    const old = await primary();
    const archive = await saved(old.snapshots);
    const busy = await primary({ isNew: () => false, key: snapshotKey(old.key.make()) });
    const before = busy.dc.roots();
    for (const [metadata, text] of [
      [{ Datacenter: 'dc7' }, /of datacenter "dc7" and this is datacenter "dc1"; nothing was changed/],
      [{ PrimaryDatacenter: 'dc7' }, /taken while "dc7" was the primary datacenter/],
      [{}, /trust domain is .* and that of this datacenter is/],
    ] as const) {
      const other = await changed(archive, metadata);
      const restoring = busy.snapshots.restore(once(other), { signal: never });
      await expect(restoring).rejects.toThrow(text);
      await expect(restoring).rejects.toMatchObject({ code: 'rejected' });
    }
    expect(busy.dc.roots()).toEqual(before);
    await busy.snapshots.restore(once(await changed(archive, { Datacenter: 'dc7' })), { signal: never, force: true });
    expect(busy.dc.roots().ActiveRootID).toBe(old.dc.roots().ActiveRootID);
  });

  it('changes nothing when rows are out of order, or whoever sends them gives up at the last moment', async () => {
    const { dc, snapshots } = await primary();
    const archive = await saved(snapshots);
    const before = [dc.store.revision, dc.store.epoch];
    const twisted = await changed(archive, {}, (rows) => rows.reverse());
    await expect(snapshots.restore(once(twisted), { signal: never })).rejects.toThrow(
      /is damaged: key .* not in order/,
    );
    const giving = new AbortController();
    const leaving = (async function* () {
      yield archive;
      giving.abort();
    })();
    const left = snapshots.restore(leaving, { signal: giving.signal }).catch((error: unknown) => error);
    expect(hasCode(await left, 'cancelled')).toBe(true);
    expect([dc.store.revision, dc.store.epoch]).toEqual(before);
  });

  it('keeps what a later version wrote: unknown tables, fields and metadata', async () => {
    const { dc, snapshots } = await primary();
    const row = { key: 'later-table/a', value: '{"of":"a later version"}' };
    const archive = await changed(await saved(snapshots), { Later: 1 } as Partial<SnapshotMetadata>, (rows) =>
      [...rows, row].sort((a, b) => (a.key < b.key ? -1 : 1)),
    );
    await snapshots.restore(once(archive), { signal: never });
    const { rows } = await opened(await saved(snapshots));
    expect(rows).toContainEqual(row);
    expect((await dc.engine.range({ prefix: 'later-table/' })).rows).toHaveLength(1);
  });
});
