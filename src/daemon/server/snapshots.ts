import type { RuntimeConfig } from '../../config/types.ts';
import { EVENTS_TABLE } from '../../domain/events/events.ts';
import type { Federation } from '../../federation/federation.ts';
import type { Clock } from '../../lib/clock.ts';
import { VERSION } from '../../model/version.ts';
import type { SecretRows } from '../../pki/secret-rows.ts';
import type { CallOptions } from '../../rpc/contract/contract.ts';
import type { SnapshotContract } from '../../rpc/contract/snapshots.ts';
import { permissionDenied } from '../../server/guard.ts';
import { Snapshots } from '../../server/snapshots.ts';
import type { Store } from '../../store/store.ts';
import type { Logger, Metrics } from '../../telemetry/types.ts';
import type { Domains } from '../domains/domains.ts';
import { SERVER_SERVICE } from '../node/self.ts';
import { snapshotKey } from '../security/snapshot-key.ts';

export interface SnapshotPartsDeps {
  readonly config: RuntimeConfig;
  readonly store: Store;
  readonly domains: Domains;
  /** Of the authority behind the certificates of agents. */
  readonly transportSecrets: SecretRows;
  readonly federation: Pick<Federation, 'snapshots'>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** Snapshots of this datacenter, and by way of the links of the others. */
export function createSnapshots(deps: SnapshotPartsDeps): SnapshotContract {
  const { config, store, domains } = deps;
  const { acl, ca, catalog } = domains;
  return new Snapshots({
    datacenter: config.datacenter,
    primaryDatacenter: config.primaryDatacenter,
    node: config.nodeName,
    version: VERSION,
    store,
    ca,
    secrets: [ca.keys.rows, deps.transportSecrets],
    passing: [EVENTS_TABLE],
    key: snapshotKey(config.dataDir),
    isNew: () => catalog.tables.services.list().every(({ value }) => value.Service === SERVER_SERVICE),
    async authorize({ token = '', signal }) {
      if (!config.acl.enabled) return;
      const { rights } = await acl.tokenResolver.resolve(token, signal);
      if (!rights.everything) throw permissionDenied();
    },
    remote: (datacenter) => deps.federation.snapshots(datacenter),
    clock: deps.clock,
    log: deps.log,
    metrics: deps.metrics,
  });
}

/** Calls without a token get the one that the agent has for them. */
export function withSnapshotToken(snapshots: SnapshotContract, token: () => string): SnapshotContract {
  const filled = <O extends CallOptions>(options: O): O =>
    options.token !== undefined && options.token !== '' ? options : { ...options, token: token() };
  return {
    save: (options) => snapshots.save(filled(options)),
    restore: (archive, options) => snapshots.restore(archive, filled(options)),
  };
}
