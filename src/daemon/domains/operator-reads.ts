import { formatAddress } from '../../federation/address.ts';
import { coordinateAt, ORIGIN_COORDINATE } from '../../model/coordinate.ts';
import type { Member } from '../../model/member.ts';
import { liveRead } from '../../server/definitions.ts';
import type { Leader } from '../../store/leadership.ts';

/** A server of this datacenter, alive or not. */
export interface ServerMember {
  readonly member: Member;
  /** Since when it has been what it is, milliseconds since 1970. */
  readonly since: number;
}

export interface OperatorDeps {
  /** By name. */
  readonly servers: () => readonly ServerMember[];
  readonly leader: () => Leader | undefined;
  readonly revision: () => number;
  readonly wanMembers: () => readonly Member[];
  readonly datacenters: () => readonly string[];
  /** Measured, milliseconds; 0 for the own datacenter. */
  readonly rtt: (datacenter: string) => number | undefined;
}

const ALIVE = 1;
/** By a member's status. */
const GOSSIP_STATUS = ['none', 'alive', 'leaving', 'left', 'failed'];

/**
 * Questions about the servers, in Consul's words. The store is not in the servers, so there is no quorum among them:
 * each could lead ("votes"), one does, and all but one may be lost.
 */
export function createOperatorReads(deps: OperatorDeps) {
  const isAlive = ({ member }: ServerMember): boolean => member.Status === ALIVE;
  const isLeader = ({ member }: ServerMember): boolean => member.Tags.id === deps.leader()?.id;
  const addressOf = ({ member: { Addr, Tags } }: ServerMember): string =>
    formatAddress({ address: Addr, port: Number(Tags.port) });
  /** In the order in which Consul lists them, by address. */
  const alive = (): readonly string[] => deps.servers().filter(isAlive).map(addressOf).sort();

  const health = (server: ServerMember) => {
    const { member, since } = server;
    return {
      ID: member.Tags.id ?? '',
      Name: member.Name,
      Address: addressOf(server),
      SerfStatus: GOSSIP_STATUS[member.Status] ?? 'none',
      Version: (member.Tags.build ?? '').split(':')[0] ?? '',
      Leader: isLeader(server),
      LastContact: '0s',
      LastTerm: deps.leader()?.term ?? 0,
      LastIndex: deps.revision(),
      Healthy: isAlive(server),
      Voter: isAlive(server),
      StableSince: new Date(since).toISOString().replace(/\.\d{3}Z$/, 'Z'),
    };
  };

  return {
    'status.leader': liveRead(() => {
      const leader = deps.servers().find(isLeader);
      return leader === undefined ? '' : addressOf(leader);
    }),
    'status.peers': liveRead(alive),
    'catalog.datacenters': liveRead(deps.datacenters),
    'members.wan': liveRead(deps.wanMembers),
    'operator.raftConfiguration': liveRead(() => ({
      Servers: deps
        .servers()
        .filter(isAlive)
        .map((server) => ({
          ID: server.member.Tags.id ?? '',
          Node: server.member.Name,
          Address: addressOf(server),
          Leader: isLeader(server),
          ProtocolVersion: '3',
          Voter: true,
        })),
      Index: 0,
    })),
    'operator.autopilotHealth': liveRead(() => {
      const servers = deps.servers().map(health);
      const healthy = servers.filter(({ Healthy }) => Healthy).length;
      return {
        Healthy: healthy === servers.length && servers.some(({ Leader }) => Leader),
        FailureTolerance: Math.max(0, healthy - 1),
        Servers: servers,
      };
    }),
    'operator.autopilotState': liveRead(() => {
      const servers = deps.servers().map((server) => {
        const { SerfStatus, Leader: leads, Voter, ...rest } = health(server);
        return {
          ...rest,
          NodeStatus: SerfStatus,
          ReadReplica: false,
          Status: leads ? 'leader' : Voter ? 'voter' : 'none',
          Meta: { 'consul-network-segment': '' },
          NodeType: 'voter',
        };
      });
      const healthy = servers.filter(({ Healthy }) => Healthy);
      const leader = servers.find(({ Status }) => Status === 'leader');
      const tolerance = Math.max(0, healthy.length - 1);
      return {
        Healthy: healthy.length === servers.length && leader !== undefined,
        FailureTolerance: tolerance,
        OptimisticFailureTolerance: tolerance,
        Servers: Object.fromEntries(servers.map((server) => [server.ID, server])),
        Leader: leader?.ID ?? '',
        Voters: healthy.map(({ ID }) => ID),
      };
    }),
    'coordinate.datacenters': liveRead(() => {
      const byDatacenter = new Map<string, string[]>();
      for (const member of deps.wanMembers()) {
        const datacenter = member.Tags.dc ?? '';
        byDatacenter.set(datacenter, [...(byDatacenter.get(datacenter) ?? []), member.Name.split('.')[0] ?? '']);
      }
      return [...byDatacenter].flatMap(([datacenter, nodes], axis) => {
        const rtt = deps.rtt(datacenter);
        if (rtt === undefined) return []; // at the origin it would look as near as can be
        const Coord = rtt === 0 ? ORIGIN_COORDINATE : coordinateAt(rtt, axis);
        const Coordinates = nodes.map((node) => ({ Node: node, Segment: '', Coord }));
        return [{ Datacenter: datacenter, AreaID: 'wan', Coordinates }];
      });
    }),
  };
}
