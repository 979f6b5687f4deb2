import { nodeKey } from '../../domain/catalog/tables.ts';
import type { Nodes } from '../../domain/nodes/nodes.ts';
import { createLanServers } from '../../federation/lan-servers.ts';
import type { Sibling } from '../../federation/types.ts';
import type { Clock } from '../../lib/clock.ts';
import { newUuid } from '../../lib/ids.ts';
import type { Service } from '../../lib/service.ts';
import type { TransportSecurity } from '../../rpc/transport/security.ts';
import { LeaderRoute } from '../../server/leader-route.ts';
import { createLeadership, type Leadership } from '../../store/leadership.ts';
import type { Store } from '../../store/store.ts';
import type { Logger, Metrics } from '../../telemetry/types.ts';
import type { Domains } from '../domains/domains.ts';
import type { ServerMember } from '../domains/operator-reads.ts';

export interface ServersDeps {
  readonly nodeId: string;
  readonly datacenter: string;
  readonly node: string;
  readonly store: Store;
  /** Asked once they are needed. */
  readonly nodes: () => Nodes;
  /** As the lease of nodes: a leader that is not heard of for this long has ceased to lead, milliseconds. */
  readonly nodeTimeoutMs: number;
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
  const { nodeId, node, store, clock, log, metrics, nodes } = deps;
  const leadership = createLeadership(
    { store, clock, log: log.child({ component: 'leadership' }), metrics, id: nodeId, node, instance: newUuid() },
    { ttlMs: deps.nodeTimeoutMs },
  );
  const lan = createLanServers({
    servers: () => nodes().servers(),
    datacenter: deps.datacenter,
    clock,
    security: deps.security,
  });
  const leader = new LeaderRoute({
    leadership,
    store,
    self: nodeId,
    contract: (id) => lan.contract(id),
    onServers: (listener) => nodes().onChange(listener),
    clock,
  });
  return { leadership, leader, services: [lan.service, leadership.service] };
}

/** The servers of this datacenter, alive or not, by name. */
export function serverMembers(nodes: Nodes): readonly ServerMember[] {
  return nodes.members().flatMap((member) => {
    const row = nodes.member(member.Name);
    return row?.Role === 'server' ? [{ member, since: row.Since }] : [];
  });
}

/** The other servers that live, as other datacenters reach them. */
export function siblings({ nodes, catalog }: Pick<Domains, 'nodes' | 'catalog'>, self: string): readonly Sibling[] {
  return nodes.servers().flatMap(({ node, nodeId, address, port: serverPort }) => {
    const port = Number(nodes.member(node)?.Tags.wan_join_port);
    if (nodeId === self || !(port > 0)) return [];
    const wan = catalog.tables.nodes.get(nodeKey(node))?.value.TaggedAddresses?.wan ?? address;
    return [{ node, nodeId, wan: { address: wan, port }, serverPort }];
  });
}
