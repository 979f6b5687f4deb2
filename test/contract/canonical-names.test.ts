import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createEntries } from '../../src/domain/entries/entries.ts';
import { systemClock } from '../../src/lib/clock.ts';
import type { Engine } from '../../src/store/engine.ts';
import { openEtcdEngine } from '../../src/store/etcd/etcd-engine.ts';
import { etcdMeters } from '../../src/store/etcd/meters.ts';
import { openLmdbEngine } from '../../src/store/lmdb/lmdb-engine.ts';
import { Store } from '../../src/store/store.ts';
import { noLog, noMetrics } from '../../src/telemetry/types.ts';
import { assertNoneLeft, type EtcdCluster, startEtcd, withoutEtcd } from '../harness/index.ts';

/** More than are renamed in one step. */
const SERVICES = 150;

const row = (destination: string, source: string, Action: string) => ({
  Kind: 'service-intentions',
  Name: destination,
  Sources: [{ Name: source, Action, Precedence: 9, Type: 'consul' }],
});

/** Brings what an older version wrote into its form, and looks at it again after a restart. */
async function rename(open: () => Promise<Engine>): Promise<void> {
  const rows = Array.from({ length: SERVICES }, (_, n) => [
    row(`Bank-${n}`, 'Shop', 'deny'),
    row(`bank-${n}`, 'shop', 'allow'),
  ]).flat();
  let engine = await open();
  for (let at = 0; at < rows.length; at += 50) {
    const ops = rows.slice(at, at + 50).map((value) => ({
      type: 'put' as const,
      key: `config/service-intentions/${value.Name}`,
      value: JSON.stringify(value),
    }));
    await engine.txn({ compare: [], ops });
  }
  for (const renamed of [SERVICES, 0]) {
    const store = new Store({ engine, clock: systemClock, onError: () => undefined });
    const entries = createEntries({ store, datacenter: 'dc1', trustDomain: () => '' });
    await store.start(new AbortController().signal);
    expect(await entries.canonicalise()).toHaveLength(renamed);
    const all = entries.intentionEntries.list();
    expect(all).toHaveLength(SERVICES);
    expect(entries.table.size).toBe(SERVICES);
    for (const { value } of all) expect(value.Sources).toMatchObject([{ Name: 'shop', Action: 'deny' }]);
    await store.stop();
    await engine.close();
    engine = await open();
  }
  await engine.close();
}

describe('names that an older version left in the store', () => {
  it('are brought into one form in the embedded store', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'isthmus-names-'));
    await rename(() => openLmdbEngine({ path: join(folder, 'store'), clock: systemClock, onError: () => undefined }));
    rmSync(folder, { recursive: true });
  });

  // Skipped only where there is no etcd, which says so; in CI that is an error.
  describe.skipIf(withoutEtcd() !== undefined)('in etcd', () => {
    let etcd: EtcdCluster;
    beforeAll(async () => {
      etcd = await startEtcd();
    });
    afterAll(async () => {
      await etcd.stop();
      await assertNoneLeft();
    });

    it('are brought into one form', async () => {
      const options = { clock: systemClock, log: noLog, meters: etcdMeters(noMetrics, []), compactEveryMs: 0 };
      await rename(() => openEtcdEngine({ ...options, endpoints: etcd.endpoints, prefix: 'names/' }));
    });
  });
});
