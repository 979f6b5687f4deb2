import type { RuntimeConfig } from '../../config/types.ts';
import type { NodeAgentInfo } from '../../domain/nodes/nodes.ts';
import type { RegisterRequest } from '../../model/catalog.ts';
import { LAN_PROTOCOL, type Member } from '../../model/member.ts';
import { COMPATIBLE_VERSION } from '../../model/version.ts';
import type { BoundAddress } from '../../rpc/transport/listener.ts';
import { ALIVE_CHECK } from '../domains/node-catalog.ts';

/** Who this server is; ports are 0 until its listeners are bound. */
export interface Identity {
  readonly config: RuntimeConfig;
  readonly nodeId: string;
  readonly serverPort: number;
  readonly lanPort: number;
  readonly wanPort: number;
}

/** @param bound where the listeners are, by name, once they are */
export function serverIdentity(
  config: RuntimeConfig,
  nodeId: string,
  bound: Readonly<Record<string, BoundAddress>>,
): Identity {
  return {
    config,
    nodeId,
    get serverPort() {
      return bound.server?.port ?? 0;
    },
    get lanPort() {
      return bound.serf_lan?.port ?? 0;
    },
    get wanPort() {
      return bound.serf_wan?.port ?? 0;
    },
  };
}

function memberTags(identity: Identity): Record<string, string> {
  const { config } = identity;
  return {
    acls: config.acl.enabled ? '1' : '0',
    bootstrap: '1',
    build: `${COMPATIBLE_VERSION}:`,
    dc: config.datacenter,
    ft_fs: '1',
    ft_si: '1',
    id: identity.nodeId,
    port: String(identity.serverPort),
    raft_vsn: '3',
    role: 'consul',
    segment: '',
    vsn: '2',
    vsn_max: '3',
    vsn_min: '2',
  };
}

/** The service under which servers are registered. */
export const SERVER_SERVICE = 'consul';

/** The agent as a member of its datacenter (port `serf_lan`). Status 1 is alive. */
export function lanMember(identity: Identity): Member {
  return {
    Name: identity.config.nodeName,
    Addr: identity.config.advertiseAddr,
    Port: identity.lanPort,
    Tags: { ...memberTags(identity), wan_join_port: String(identity.wanPort) },
    Status: 1,
    ...LAN_PROTOCOL,
  };
}

/** The server as a node that has an agent. */
export function serverNode(identity: Identity): NodeAgentInfo {
  const { config } = identity;
  const { Name, Addr, Port, Tags } = lanMember(identity);
  return {
    Node: Name,
    ID: identity.nodeId,
    Role: 'server',
    Addr,
    Port,
    Tags,
    TaggedAddresses: config.taggedAddresses,
    Meta: nodeMeta(config),
  };
}

/** All of a node's meta, as every writer of the node's row gives it. */
export function nodeMeta(config: RuntimeConfig): Record<string, string> {
  return { 'consul-network-segment': '', ...config.nodeMeta };
}

/** A server's own rows in the catalog: its node, the service "consul", and the check "serfHealth". */
export function serverRegistration(identity: Identity): RegisterRequest {
  const { config } = identity;
  return {
    ID: identity.nodeId,
    Node: config.nodeName,
    Address: config.advertiseAddr,
    TaggedAddresses: config.taggedAddresses,
    NodeMeta: nodeMeta(config),
    Service: {
      ID: SERVER_SERVICE,
      Service: SERVER_SERVICE,
      Port: identity.serverPort,
      Meta: {
        non_voter: 'false',
        raft_version: '3',
        read_replica: 'false',
        serf_protocol_current: '2',
        serf_protocol_max: '5',
        serf_protocol_min: '1',
        version: COMPATIBLE_VERSION,
      },
    },
    Check: { Node: config.nodeName, ...ALIVE_CHECK },
  };
}
