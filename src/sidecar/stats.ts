import type { RefusalReason } from './refusals.ts';

export interface SidecarAddresses {
  /** Bound address of the mesh listener; absent for a client-only proxy. */
  readonly listen?: string;
  /** Bound addresses by upstream key. */
  readonly upstreams: Readonly<Record<string, string>>;
}

interface DirectionStats {
  readonly connections: number;
  readonly tunnels: number;
}

export interface SidecarStats {
  readonly inbound: DirectionStats;
  readonly outbound: DirectionStats;
  readonly refused: Readonly<Partial<Record<RefusalReason, number>>>;
  /** Open connections that a change of intentions or roots ended. */
  readonly closedByChange: number;
  /** Newest update in effect. */
  readonly version: number;
}
