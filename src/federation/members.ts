import { LAN_PROTOCOL, type Member } from '../model/member.ts';
import { COMPATIBLE_VERSION } from '../model/version.ts';
import type { Hello } from '../rpc/transport/handlers.ts';
import type { Peer } from './peers.ts';
import type { Sibling } from './types.ts';

const ALIVE = 1;
const LEFT = 3;
const FAILED = 4;

/** What of a Hello members show. */
type WanServer = Pick<Hello, 'datacenter' | 'node' | 'nodeId' | 'serverPort'> & {
  readonly wan?: { readonly host: string; readonly port: number } | undefined;
};

/** A server as /v1/agent/members?wan shows it. Gossip's own versions are constants: there is no gossip. */
function toMember(hello: WanServer, status: number): Member {
  return {
    Name: `${hello.node}.${hello.datacenter}`,
    Addr: hello.wan?.host ?? '',
    Port: hello.wan?.port ?? 0,
    Tags: {
      acls: '0',
      bootstrap: '1',
      build: `${COMPATIBLE_VERSION}:`,
      dc: hello.datacenter,
      ft_fs: '1',
      ft_si: '1',
      id: hello.nodeId,
      port: String(hello.serverPort),
      raft_vsn: '3',
      role: 'consul',
      segment: '',
      vsn: '2',
      vsn_max: '3',
      vsn_min: '2',
    },
    Status: status,
    ...LAN_PROTOCOL,
  };
}

/** This server, the others of its datacenter, and all that it has met, by name. */
export function listMembers(own: Hello, siblings: readonly Sibling[], peers: Iterable<Peer>): readonly Member[] {
  const members = [toMember(own, ALIVE)];
  const near = new Set(siblings.map(({ nodeId }) => nodeId));
  for (const { node, nodeId, wan, serverPort } of siblings)
    members.push(
      toMember(
        { datacenter: own.datacenter, node, nodeId, serverPort, wan: { host: wan.address, port: wan.port } },
        ALIVE,
      ),
    );
  for (const peer of peers) {
    // in the configuration they may be named like those of others
    if (peer.hello.datacenter === own.datacenter && near.has(peer.hello.nodeId)) continue;
    members.push(toMember(peer.hello, peer.left ? LEFT : peer.links > 0 ? ALIVE : FAILED));
  }
  return members.sort((a, b) => (a.Name < b.Name ? -1 : a.Name > b.Name ? 1 : 0));
}
