import type { RuntimeConfig } from '../../config/types.ts';
import type { Federation } from '../../federation/federation.ts';
import type { Clock } from '../../lib/clock.ts';
import type { ServerContract } from '../../rpc/contract/contract.ts';
import { type Routing, readTarget, writeTarget } from '../../rpc/contract/routing.ts';
import { GuardedContract } from '../../server/guard.ts';
import type { LeaderRoute } from '../../server/leader-route.ts';
import type { Resolver } from '../../server/resolve/resolver.ts';
import { Server } from '../../server/server.ts';
import type { Metrics } from '../../telemetry/types.ts';
import { grantsOf, storedFacts } from '../access/access.ts';
import { askedReads, readDefinitions, writeDefinitions } from '../domains/definitions.ts';
import type { Domains } from '../domains/domains.ts';
import { createOperatorReads } from '../domains/operator-reads.ts';
import type { Foundation } from './foundation.ts';
import { serverMembers } from './other-servers.ts';
import type { Replication } from './replication.ts';

export interface ContractDeps extends Pick<Foundation, 'store' | 'leadership' | 'authority'> {
  readonly config: RuntimeConfig;
  readonly domains: Domains;
  readonly federation: Federation;
  readonly replication: Replication;
  readonly resolver: Resolver;
  readonly leader: LeaderRoute;
  readonly clock: Clock;
  readonly metrics: Metrics;
}

export interface Contracts {
  /** Answers whatever it is asked: for the process itself, and for servers of other datacenters' own work. */
  readonly server: Server;
  /** As tokens see it; the same where access control is off. */
  readonly guarded: ServerContract;
}

/** The server contract over the domains, and the guard before it. */
export function createContracts(deps: ContractDeps): Contracts {
  const { config, store, leadership, authority, domains, federation, replication, leader, clock, metrics } = deps;
  const { replicator } = replication;
  const operator = createOperatorReads({
    servers: () => serverMembers(domains.nodes),
    leader: () => leadership.leader(),
    revision: () => store.revision,
    wanMembers: () => federation.members(),
    datacenters: () => federation.datacenters(),
    rtt: (datacenter) => federation.rtt(datacenter),
  });
  const routing: Routing = {
    datacenter: config.datacenter,
    primaryDatacenter: config.primaryDatacenter,
    isLocalToken: (accessor) => domains.acl.isLocal(accessor),
  };
  const reads = readDefinitions(domains, authority, operator, replicator, config, () => clock.now());
  const server = new Server({
    ...routing,
    store,
    reads,
    writes: writeDefinitions(domains, authority, replicator, federation, leadership),
    asked: askedReads(deps.resolver, replicator, store),
    leader,
    remote: (datacenter) => federation.contract(datacenter),
    ageMs: replication.ageMs,
    replicated: replication.replicated,
    clock,
    metrics,
    random: Math.random,
  });
  if (!config.acl.enabled) return { server, guarded: server };
  const guarded = new GuardedContract({
    inner: server,
    callers: domains.acl.tokenResolver,
    grants: grantsOf,
    facts: storedFacts(reads),
    options: { keyListPolicy: config.acl.enableKeyListPolicy },
    revision: () => store.revision,
    readElsewhere: (name, { datacenter }) => readTarget(routing, name, datacenter) !== undefined,
    writeElsewhere: (name, args, { datacenter }) => writeTarget(routing, name, args, datacenter) !== undefined,
  });
  return { server, guarded };
}
