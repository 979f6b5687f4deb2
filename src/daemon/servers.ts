import { createLanServers, type LanServer } from '../federation/lan-servers.ts';
import type { Clock } from '../lib/clock.ts';
import { newUuid } from '../lib/ids.ts';
import type { Service } from '../lib/service.ts';
import type { TransportSecurity } from '../rpc/transport/security.ts';
import { LeaderRoute } from '../server/leader-route.ts';
import { createLeadership, type Leadership } from '../store/leadership.ts';
import type { Store } from '../store/store.ts';
import type { Logger, Metrics } from '../telemetry/types.ts';

export interface ServersDeps {
  readonly nodeId: string;
  readonly datacenter: string;
  readonly node: string;
  readonly store: Store;
  /** Asked once it is needed: the servers that live now, this one included. */
  readonly living: () => readonly LanServer[];
  /** Told when `living` may answer otherwise. */
  readonly onLiving: (listener: () => void) => () => void;
  readonly security: TransportSecurity;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** What the servers of one datacenter have with each other: one of them leads, and the others can ask it. */
export interface Servers {
  readonly leadership: Leadership;
  readonly leader: LeaderRoute;
  /** To start after the store, in this order. */
  readonly services: readonly Service[];
}

/** Declares tables, so create it before the store is started. */
export function createServers(deps: ServersDeps): Servers {
  const { nodeId, node, store, clock, log, metrics } = deps;
  const leadership = createLeadership({
    store,
    clock,
    log: log.child({ component: 'leadership' }),
    metrics,
    id: nodeId,
    node,
    instance: newUuid(),
  });
  const lan = createLanServers({ servers: deps.living, datacenter: deps.datacenter, clock, security: deps.security });
  const leader = new LeaderRoute({
    leadership,
    store,
    self: nodeId,
    contract: (id) => lan.contract(id),
    onServers: deps.onLiving,
    clock,
  });
  return { leadership, leader, services: [lan.service, leadership.service] };
}
