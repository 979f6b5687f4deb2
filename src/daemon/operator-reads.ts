import { coordinateAt, ORIGIN_COORDINATE } from '../model/coordinate.ts';
import type { Member } from '../model/member.ts';
import { COMPATIBLE_VERSION } from '../model/version.ts';
import { liveRead } from '../server/definitions.ts';
import type { Identity } from './self.ts';

export interface OperatorDeps {
  readonly identity: () => Identity;
  readonly revision: () => number;
  readonly startedAt: number;
  readonly wanMembers: () => readonly Member[];
  readonly datacenters: () => readonly string[];
  /** Measured, milliseconds; 0 for the own datacenter. */
  readonly rtt: (datacenter: string) => number | undefined;
}

/**
 * Questions about the servers, answered truthfully for a store that has no consensus of its own: the one server of the
 * datacenter leads and votes.
 */
export function createOperatorReads(deps: OperatorDeps) {
  const address = (): string => {
    const { config, serverPort } = deps.identity();
    return `${config.advertiseAddr}:${serverPort}`;
  };
  return {
    'status.leader': liveRead(address),
    'status.peers': liveRead(() => [address()]),
    'catalog.datacenters': liveRead(deps.datacenters),
    'members.wan': liveRead(deps.wanMembers),
    'operator.raftConfiguration': liveRead(() => {
      const { config, nodeId } = deps.identity();
      const server = {
        ID: nodeId,
        Node: config.nodeName,
        Address: address(),
        Leader: true,
        ProtocolVersion: '3',
        Voter: true,
      };
      return { Servers: [server], Index: 0 };
    }),
    'operator.autopilotHealth': liveRead(() => {
      const { config, nodeId } = deps.identity();
      const server = {
        ID: nodeId,
        Name: config.nodeName,
        Address: address(),
        SerfStatus: 'alive',
        Version: COMPATIBLE_VERSION,
        Leader: true,
        LastContact: '0s',
        LastTerm: 1,
        LastIndex: deps.revision(),
        Healthy: true,
        Voter: true,
        StableSince: new Date(deps.startedAt).toISOString().replace(/\.\d{3}Z$/, 'Z'),
      };
      return { Healthy: true, FailureTolerance: 0, Servers: [server] };
    }),
    'coordinate.datacenters': liveRead(() => {
      const byDatacenter = new Map<string, string[]>();
      for (const member of deps.wanMembers()) {
        const datacenter = member.Tags.dc ?? '';
        byDatacenter.set(datacenter, [...(byDatacenter.get(datacenter) ?? []), member.Name.split('.')[0] ?? '']);
      }
      return [...byDatacenter].map(([datacenter, nodes], axis) => {
        const rtt = deps.rtt(datacenter);
        const Coord = rtt === undefined || rtt === 0 ? ORIGIN_COORDINATE : coordinateAt(rtt, axis);
        return {
          Datacenter: datacenter,
          AreaID: 'wan',
          Coordinates: nodes.map((node) => ({ Node: node, Segment: '', Coord })),
        };
      });
    }),
  };
}
