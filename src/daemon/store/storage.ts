import { join } from 'node:path';
import type { LoadedConfig, StorageConfig } from '../../config/types.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Engine } from '../../store/engine.ts';
import { openEtcdEngine } from '../../store/etcd/etcd-engine.ts';
import { etcdMeters } from '../../store/etcd/meters.ts';
import { openLmdbEngine } from '../../store/lmdb/lmdb-engine.ts';
import { MemoryEngine } from '../../store/memory/memory-engine.ts';
import type { Logger, Metrics } from '../../telemetry/types.ts';
import { SNAPSHOT_KEY } from '../security/snapshot-key.ts';

export interface StorageDeps {
  readonly loaded: Pick<LoadedConfig, 'config'>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Gives up waiting for etcd. */
  readonly signal?: AbortSignal;
}

/** Opens the store that the configuration names. Waits for an etcd that is not there yet. */
export async function openEngine(deps: StorageDeps): Promise<Engine> {
  const { loaded, metrics } = deps;
  const engine = await openStorage(loaded.config.storage.engine, deps);
  metrics.gauge(
    {
      name: 'isthmus_store_connected',
      help:
        '1 while the store can be read and written; 0 while etcd is out of reach and reads are answered from ' +
        'memory.',
    },
    (set) => set(engine.contact().connected ? 1 : 0),
  );
  metrics.gauge(
    { name: 'isthmus_store_last_contact_seconds', help: 'Time since etcd last answered; 0 with the embedded store.' },
    (set) => set(engine.contact().lastMs / 1_000),
  );
  metrics.gauge(
    { name: 'isthmus_store_writable', help: '0 while writes fail, as on a full disk; reads go on.' },
    (set) => set(engine.contact().writable ? 1 : 0),
  );
  return engine;
}

/** Opens a store of one kind, as configured for that kind. */
export async function openStorage(
  kind: StorageConfig['engine'],
  { loaded, clock, log, metrics, signal }: StorageDeps,
): Promise<Engine> {
  const { dataDir, storage } = loaded.config;
  const { endpoints, username, password, prefix, compactionIntervalMs, ...tls } = storage.etcd;
  const meters = etcdMeters(metrics, endpoints);
  if (kind === 'etcd') {
    return openEtcdEngine({
      ...{ endpoints, tls, username, password, prefix, clock, meters },
      log: log.child({ component: 'store' }),
      compactEveryMs: compactionIntervalMs,
      ...(signal === undefined ? {} : { signal }),
    });
  }
  if (dataDir === '') return new MemoryEngine(clock);
  return openLmdbEngine({
    path: embeddedPath(dataDir),
    witnesses: [join(dataDir, SNAPSHOT_KEY)],
    clock,
    onError: (what, error) => log.error('store work failed', { what, error: error.message }),
    onWritable: () => log.info('the store can be written again'),
  });
}

export function embeddedPath(dataDir: string): string {
  return join(dataDir, 'store');
}
