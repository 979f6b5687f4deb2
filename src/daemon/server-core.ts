import type { RuntimeConfig } from '../config/types.ts';
import { formatAddress } from '../lib/address.ts';
import type { Clock } from '../lib/clock.ts';
import type { Authority } from './authority.ts';
import type { Core } from './core.ts';
import { knock } from './knock.ts';
import { lanMember } from './self.ts';

export interface ServerCoreParts {
  readonly config: RuntimeConfig;
  readonly clock: Clock;
  /** Told when the store was restored: what a snapshot says of this node may be old. */
  readonly onBehind: () => void;
}

/** The core of an agent that is a server itself. */
export function serverCore(authority: Authority, { config, clock, onBehind }: ServerCoreParts): Core {
  const { federation, domains, server, store } = authority;
  store.onRestore(onBehind);
  return {
    contract: authority.contract,
    snapshots: authority.snapshots,
    trusted: server,
    tokens: authority.tokens,
    callers: domains.acl.resolver,
    accessorOf: authority.accessorOf,
    addresses: authority.listener.addresses,
    material: () => authority.transport.material(),
    services: authority.services,
    member: () => lanMember(authority.identity()),
    members: async ({ wan }) => (wan ? federation.members() : domains.nodes.members()),
    ageMs: authority.ageMs,
    links: () => federation.links(),
    async join(address, { wan, signal }) {
      if (wan) await federation.join([address], signal);
      else await knock(address, clock); // servers of one datacenter find each other in its store
    },
    async forceLeave(node, { prune, signal }) {
      await server.write('nodes.forceLeave', { node, prune }, { signal });
    },
    async leave() {
      federation.leave();
      if (domains.nodes.servers().length > 1) await domains.nodes.left(config.nodeName); // else nobody would be left to know
    },
    stats() {
      const { leadership } = authority;
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
