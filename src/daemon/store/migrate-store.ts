import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { LoadedConfig, StorageConfig } from '../../config/types.ts';
import { systemClock } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import type { Engine } from '../../store/engine.ts';
import { type MigrateOptions, type Migration, migrate } from '../../store/migrate.ts';
import { createLogger } from '../../telemetry/logger.ts';
import { noMetrics } from '../../telemetry/types.ts';
import { embeddedPath, openStorage } from './storage.ts';

type Kind = StorageConfig['engine'];

export interface MigrateStoreOptions extends Pick<MigrateOptions, 'force' | 'signal' | 'onProgress'> {
  /** Says where both stores are. */
  readonly loaded: LoadedConfig;
  readonly from: Kind;
  readonly to: Kind;
  /** Takes lines of the log: what is waited for. */
  readonly log: (line: string) => void;
}

/** Moves the store of a datacenter whose servers are stopped. */
export async function migrateStore(options: MigrateStoreOptions): Promise<Migration> {
  const { loaded, from, to } = options;
  check(loaded, from, to);
  const log = createLogger({
    level: 'info',
    destination: { write: options.log },
    clock: systemClock,
    name: loaded.config.nodeName,
  });
  const engines: Engine[] = [];
  const open = async (kind: Kind): Promise<Engine> => {
    const deps = { loaded, clock: systemClock, log, metrics: noMetrics, signal: options.signal };
    const engine = await openStorage(kind, deps);
    engines.push(engine);
    return engine;
  };
  try {
    return await migrate({ ...options, from: await open(from), to: await open(to) });
  } finally {
    await Promise.all(engines.map((engine) => engine.close()));
  }
}

function check({ config }: LoadedConfig, from: Kind, to: Kind): void {
  if (from === to)
    throw new IsthmusError('invalid_argument', `the store is to be moved from ${from} to ${to}: nothing to do`);
  if (config.dataDir === '') {
    throw new IsthmusError('invalid_argument', 'the embedded store is in the data directory: set "data_dir"');
  }
  if (config.storage.etcd.endpoints.length === 0) {
    throw new IsthmusError(
      'invalid_argument',
      'the configuration does not say where etcd is: set "storage.etcd.endpoints"',
    );
  }
  const path = embeddedPath(config.dataDir);
  if (from === 'embedded' && !existsSync(join(path, 'data.mdb'))) {
    throw new IsthmusError('not_found', `there is no embedded store in ${path}`);
  }
}
