import type { Clock } from '../../../lib/clock.ts';
import type { ServerContract } from '../../../rpc/contract/contract.ts';
import type { SnapshotContract } from '../../../rpc/contract/snapshots.ts';
import type { AgentParts } from '../agent-parts.ts';
import type { QueryTimes } from '../consistency.ts';
import { DEFAULT_LIMITS } from '../limits.ts';
import type { Route } from '../route.ts';
import { aclRoutes } from './acl.ts';
import { addressRoutes } from './addresses.ts';
import { agentRoutes } from './agent.ts';
import { agentHostRoutes } from './agent-host.ts';
import { catalogRoutes } from './catalog.ts';
import { configRoutes } from './config.ts';
import { connectCaRoutes } from './connect-ca.ts';
import { coordinateRoutes } from './coordinate.ts';
import { discoveryChainRoutes } from './discovery-chain.ts';
import { eventRoutes } from './events.ts';
import { healthRoutes } from './health.ts';
import { intentionRoutes } from './intentions.ts';
import { internalRoutes } from './internal.ts';
import { invitationRoutes } from './invitations.ts';
import { type KvLimits, kvRoutes } from './kv.ts';
import { monitorRoutes } from './monitor.ts';
import { operatorRoutes } from './operator.ts';
import { queryRoutes } from './query.ts';
import { sessionRoutes } from './session.ts';
import { sidecarRoutes } from './sidecar.ts';
import { snapshotRoutes } from './snapshot.ts';
import { statusRoutes } from './status.ts';
import { txnRoutes } from './txn.ts';

export interface ApiRouteDeps {
  readonly contract: ServerContract;
  readonly snapshots: SnapshotContract;
  readonly agent: AgentParts;
  readonly datacenter: string;
  /** Answers from other datacenters show WAN addresses. */
  readonly translateWanAddrs?: boolean;
  readonly queryTimes?: QueryTimes;
  readonly kvLimits?: KvLimits;
  readonly clock: Clock;
  /** Milliseconds between two heartbeats on a silent stream. */
  readonly heartbeatMs?: number;
}

/** Every route but those of the agent's own services and checks. */
export function apiRoutes(deps: ApiRouteDeps): readonly Route[] {
  const { agent, clock } = deps;
  const { maxBodyBytes } = DEFAULT_LIMITS;
  const { kvLimits = { maxValueBytes: maxBodyBytes, maxTxnBytes: maxBodyBytes } } = deps;
  const shared = { ...deps, kvLimits, nodeName: agent.nodeName };
  return [
    ...statusRoutes(shared),
    ...operatorRoutes(shared),
    ...snapshotRoutes(shared),
    ...aclRoutes(shared),
    ...catalogRoutes(shared),
    ...healthRoutes(shared),
    ...coordinateRoutes(shared),
    ...configRoutes(shared),
    ...discoveryChainRoutes(shared),
    ...intentionRoutes(shared),
    ...connectCaRoutes(shared),
    ...invitationRoutes(shared),
    ...queryRoutes(shared),
    ...kvRoutes(shared),
    ...sessionRoutes(shared),
    ...txnRoutes(shared),
    ...eventRoutes({ ...shared, events: agent.events, rights: agent.access.rights }),
    ...addressRoutes(shared),
    ...agentRoutes(shared),
    ...agentHostRoutes({ agent, clock }),
    ...monitorRoutes(agent.log, clock),
    ...internalRoutes(shared),
    ...sidecarRoutes({
      proxies: agent.proxies,
      clock,
      heartbeatMs: deps.heartbeatMs ?? DEFAULT_LIMITS.heartbeatMs,
    }),
  ];
}
