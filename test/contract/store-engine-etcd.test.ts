import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe } from 'vitest';
import { systemClock } from '../../src/lib/clock.ts';
import { openEtcdEngine } from '../../src/store/etcd/etcd-engine.ts';
import { etcdMeters } from '../../src/store/etcd/meters.ts';
import { noLog, noMetrics } from '../../src/telemetry/types.ts';
import { assertNoneLeft, type EtcdCluster, startEtcd, withoutEtcd } from '../harness/index.ts';
import { describeEngine } from './store-engine.ts';

// Skipped only where there is no etcd, which says so; in CI that is an error.
describe.skipIf(withoutEtcd() !== undefined)('with a real etcd member', () => {
  let etcd: EtcdCluster;
  let stores = 0;

  beforeAll(async () => {
    etcd = await startEtcd();
  });

  afterAll(async () => {
    await etcd.stop();
    await assertNoneLeft();
  });

  const store = (): string => `store${stores}/`;

  describeEngine('etcd', async () => ({
    gaps: true,
    leaseMs: 2_000, // the shortest that etcd gives
    elapse: async (ms) => void (await pause(ms)), // etcd's leases end by its own clock
    open: () => {
      stores += 1;
      const options = { clock: systemClock, log: noLog, meters: etcdMeters(noMetrics, []), compactEveryMs: 0 };
      return openEtcdEngine({ ...options, endpoints: etcd.endpoints, prefix: store() });
    },
    // What is left on leases would end at some moment of the next test, and move its revisions.
    dispose: async () => void etcd.ctl('del', '--prefix', store()),
  }));
});
