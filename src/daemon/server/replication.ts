import type { RuntimeConfig } from '../../config/types.ts';
import type { Federation } from '../../federation/federation.ts';
import { createReplicationAges } from '../../federation/replication/ages.ts';
import { appliedHere, type WaitApplied } from '../../federation/replication/applied-here.ts';
import { createChangeSource } from '../../federation/replication/change-source.ts';
import { createPreflight } from '../../federation/replication/preflight.ts';
import { createReplicator, type Replicator } from '../../federation/replication/replicator.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Service } from '../../lib/service.ts';
import type { ChangeSource } from '../../rpc/contract/changes.ts';
import type { ServerContract } from '../../rpc/contract/contract.ts';
import { CERTIFICATES } from '../../server/replication-rights.ts';
import type { Logger, Metrics } from '../../telemetry/types.ts';
import { guardChanges } from '../access/access.ts';
import type { Domains } from '../domains/domains.ts';
import { aclKinds, replicatedKinds } from '../domains/replicated-kinds.ts';
import type { Foundation } from './foundation.ts';

export interface ReplicationDeps extends Pick<Foundation, 'engine' | 'store' | 'leadership' | 'tokens'> {
  readonly config: RuntimeConfig;
  readonly domains: Domains;
  readonly federation: Federation;
  readonly leader: { find(signal: AbortSignal): Promise<ServerContract | undefined> };
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** The primary's tables in this datacenter, and this one's for those who copy them. */
export interface Replication {
  /** This datacenter's tables, for who may follow them. */
  readonly changes: ChangeSource;
  readonly replicator: Replicator;
  readonly applied: WaitApplied;
  /** Resolves once what a write changed in the primary is here; at once for a kind that is not copied. */
  readonly replicated: WaitApplied;
  /** How old the copy of a kind may be, milliseconds. */
  ageMs(kind: string): number;
  /** In the order of starting. */
  readonly services: readonly Service[];
}

export function createReplication(deps: ReplicationDeps): Replication {
  const { config, engine, store, leadership, leader, tokens, domains, federation, clock, metrics } = deps;
  const { datacenter, primaryDatacenter } = config;
  const primary = datacenter === primaryDatacenter;
  const acls = config.acl.enabled;
  const log = deps.log.child({ component: 'replication' });
  const kinds = [
    ...replicatedKinds(domains.entries),
    ...(acls ? aclKinds(domains.acl, { tokens: primary || config.acl.enableTokenReplication }) : []),
  ];
  const all = createChangeSource({ datacenter, store, history: engine, kinds, clock });
  const preflight =
    acls && !primary
      ? createPreflight({
          primaryDatacenter,
          primary: () => federation.contract(primaryDatacenter),
          tokens,
          kinds: [...kinds.map(({ name }) => name), CERTIFICATES],
          clock,
          log,
        })
      : undefined;
  const replicator = createReplicator({
    datacenter,
    primaryDatacenter,
    kinds,
    source: {
      changes(request, signal) {
        const token = tokens.get('replication');
        const source = federation.changes(primaryDatacenter);
        return source.changes(token === '' ? request : { ...request, token }, signal);
      },
    },
    store,
    leadership,
    clock,
    log,
    metrics,
    tokenProblem: () => preflight?.problem ?? '',
  });
  const applied = appliedHere({ leader, replicator, store });
  const ages = createReplicationAges({ leadership, leader, replicator, clock });
  return {
    changes: acls ? guardChanges(all, domains.acl.tokenResolver) : all,
    replicator,
    applied,
    async replicated(kind, revision, signal) {
      if (kinds.some((one) => one.name === kind)) await applied(kind, revision, signal);
    },
    ageMs: (kind) => ages.ageMs(kind),
    services: [
      replicator.service,
      ...(primary ? [] : [ages.service]),
      ...(preflight === undefined ? [] : [preflight.service]),
    ],
  };
}
