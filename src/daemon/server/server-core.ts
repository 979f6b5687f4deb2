import type { RuntimeConfig } from '../../config/types.ts';
import { formatAddress, parseAddress } from '../../lib/address.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Core } from '../core.ts';
import { DEFAULT_LAN_PORT, probeLan } from '../edges/join-probe.ts';
import { lanMember } from '../node/self.ts';
import type { ServerNode } from './server-node.ts';

export interface ServerCoreParts {
  readonly config: RuntimeConfig;
  readonly clock: Clock;
}

/** The core of an agent that is a server itself. */
export function serverCore(node: ServerNode, { config, clock }: ServerCoreParts): Core {
  const { federation, domains, server, store } = node;
  return {
    contract: node.contract,
    snapshots: node.snapshots,
    trusted: server,
    tokens: node.tokens,
    callers: domains.acl.tokenResolver,
    accessorOf: node.accessorOf,
    addresses: node.bound,
    services: node.services,
    member: () => lanMember(node.identity),
    members: async ({ wan }) => (wan ? federation.members() : domains.nodes.members()),
    ageMs: node.ageMs,
    onBehind: (listener) => void store.onRestore(listener),
    links: () => federation.links(),
    async join(address, { wan, signal }) {
      if (wan) await federation.join([address], signal);
      else {
        await probeLan(address, clock);
        // Servers of one datacenter find each other in its store. One with another store refuses, and says why.
        await federation.join([parseAddress(address, DEFAULT_LAN_PORT)], signal);
      }
    },
    async forceLeave(node, { prune, signal }) {
      await server.write('nodes.forceLeave', { node, prune }, { signal });
    },
    async leave() {
      federation.leave();
      // else no one would be left to know
      if (domains.nodes.servers().length > 1) await domains.nodes.left(config.nodeName);
    },
    stats() {
      const { leadership } = node;
      const leader = domains.nodes.servers().find(({ nodeId }) => nodeId === leadership.leader()?.id);
      const members = domains.nodes.members();
      return {
        consul: {
          acl: config.acl.enabled ? 'enabled' : 'disabled',
          bootstrap: 'true',
          known_datacenters: String(federation.datacenters().length),
          leader: String(leadership.leading),
          leader_addr: leader === undefined ? '' : formatAddress(leader),
          server: 'true',
        },
        serf_lan: counts(members.length, members.filter(({ Status }) => Status === FAILED).length),
        serf_wan: counts(federation.members().length, 0),
        store: { revision: String(store.revision) },
      };
    },
  };
}

const FAILED = 4;

function counts(members: number, failed: number): Readonly<Record<string, string>> {
  return { encrypted: 'false', failed: String(failed), members: String(members) };
}
