import type { Clock } from '../lib/clock.ts';
import type { Service } from '../lib/service.ts';
import type { Member } from '../model/member.ts';
import type { ChangeSource } from '../rpc/contract/changes.ts';
import type { ServerContract } from '../rpc/contract/contract.ts';
import type { SnapshotContract } from '../rpc/contract/snapshots.ts';
import type { RpcHandlers, TransportLimits } from '../rpc/transport/handlers.ts';
import type { TransportSecurity } from '../rpc/transport/security.ts';
import type { Logger, Metrics } from '../telemetry/types.ts';
import type { WanAddress } from './address.ts';
import type { LinkState } from './link-state.ts';
import type { FederationTimings } from './timings.ts';

/** What this server says about itself that may change while it runs. */
export interface FederationIdentity {
  /** Absent until the datacenter has learned it. */
  readonly trustDomain?: string;
  /** Identity of the store's history. */
  readonly epoch: string;
  readonly isPrimary: boolean;
}

/** Another server of this datacenter, as other datacenters reach it. */
export interface Sibling {
  readonly node: string;
  readonly nodeId: string;
  readonly wan: WanAddress;
  readonly serverPort: number;
}

export interface FederationDeps {
  readonly datacenter: string;
  readonly node: string;
  readonly nodeId: string;
  readonly primaryDatacenter: string;
  /** Version of this program, for members. */
  readonly build: string;
  /** Where other datacenters reach this server. Asked after the listeners have started, so that port 0 works. */
  readonly advertiseWan: () => WanAddress;
  /** Port of the `server` listener, for members. */
  readonly serverPort: () => number;
  /** Addresses of servers in other datacenters: host or host:port. Dialled for ever. */
  readonly retryJoinWan: readonly string[];
  /** The contract of this datacenter. */
  readonly local: ServerContract;
  readonly identity: () => FederationIdentity;
  /** The other servers of this datacenter that live now: others learn them from this one. Default none. */
  readonly siblings?: () => readonly Sibling[];
  readonly clock: Clock;
  /** Never goes back, milliseconds with fractions: measures round-trip times. Default the clock. */
  readonly monotonicMs?: () => number;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly security?: TransportSecurity;
  readonly limits?: TransportLimits;
  readonly timings?: Partial<FederationTimings>;
}

/** One link as an API shows it. */
export interface LinkStatus {
  readonly address: string;
  /** Who answered there last; empty before. */
  readonly nodeId: string;
  readonly node: string;
  readonly datacenter: string;
  readonly rttMs: number | undefined;
  readonly state: LinkState;
}

export interface Federation {
  readonly service: Service;
  /** For the listener: holds the links that others dial. */
  readonly handlers: Required<Pick<RpcHandlers, 'link'>>;
  /**
   * A datacenter by name; the own one is `local`. Never throws; its calls fail with `no_path` when nothing leads there.
   */
  contract(datacenter: string): ServerContract;
  /** The tables of another datacenter, for replication. Waits for a link. */
  changes(datacenter: string): ChangeSource;
  /** Another datacenter's store as a whole. Never throws; its calls fail with `no_path` when nothing leads there. */
  snapshots(datacenter: string): SnapshotContract;
  /** The own datacenter and all others that are known, nearest first. */
  datacenters(): readonly string[];
  /** Other datacenters that calls reach now. */
  connected(): readonly string[];
  /** Smoothed round-trip time of the nearest server, milliseconds; 0 for the own datacenter. */
  rtt(datacenter: string): number | undefined;
  members(): readonly Member[];
  links(): readonly LinkStatus[];
  /** Dials more addresses; resolves with how many answered. Throws when none did, with the reasons. */
  join(addresses: readonly string[], signal: AbortSignal): Promise<number>;
  /** Tells the others that this server leaves for good: they list it as left, not as failed. */
  leave(): void;
  /** Forgets servers that are away, by node name (with or without `.datacenter`); returns how many. */
  forceLeave(name: string): number;
  /** Calls `listener` after every change of links or members; returns the function that ends it. */
  onChange(listener: () => void): () => void;
  /** Resolves once calls reach the datacenter. */
  whenConnected(datacenter: string, signal: AbortSignal): Promise<void>;
}
