import { nodeKey } from '../../domain/catalog/tables.ts';
import type { Nodes } from '../../domain/nodes/nodes.ts';
import { createLanServers } from '../../federation/lan-servers.ts';
import type { Sibling } from '../../federation/types.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Service } from '../../lib/service.ts';
import type { TransportSecurity } from '../../rpc/transport/security.ts';
import { LeaderRoute } from '../../server/leader-route.ts';
import type { Leadership } from '../../store/leadership.ts';
import type { Store } from '../../store/store.ts';
import type { Domains } from '../domains/domains.ts';
import type { ServerMember } from '../domains/operator-reads.ts';

export interface OtherServersDeps {
  readonly nodeId: string;
  readonly datacenter: string;
  readonly store: Store;
  readonly leadership: Leadership;
  readonly nodes: Nodes;
  readonly security: TransportSecurity;
  readonly clock: Clock;
}

/** How this server asks the others of its datacenter: one of them leads. */
export interface OtherServers {
  readonly leader: LeaderRoute;
  /** Holds the connections: to start after the store. */
  readonly service: Service;
}

export function createOtherServers(deps: OtherServersDeps): OtherServers {
  const { nodeId, datacenter, store, leadership, nodes, security, clock } = deps;
  const lan = createLanServers({ servers: () => nodes.servers(), datacenter, clock, security });
  const leader = new LeaderRoute({
    leadership,
    store,
    self: nodeId,
    contract: (id) => lan.contract(id),
    onServers: (listener) => nodes.onChange(listener),
    clock,
  });
  return { leader, service: lan.service };
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
