import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../telemetry/types.ts';
import type { SidecarLimits } from '../limits.ts';
import type { SidecarMeters } from '../meters.ts';
import type { Refusals } from '../refusals.ts';
import type { OpenConnections } from '../wire/open-connections.ts';
import type { PeerReader } from '../wire/peer.ts';
import type { Trust } from '../wire/trust.ts';
import type { Authorizer } from './authorizer.ts';

export interface InboundDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly limits: SidecarLimits;
  readonly meters: SidecarMeters;
  readonly refusals: Refusals;
  readonly peers: PeerReader;
  readonly authorizer: Authorizer;
  /** Connections of applications: plain ones and streams. */
  readonly open: OpenConnections;
  readonly tunnels: OpenConnections;
  readonly trust: () => Trust;
  readonly local: () => LocalApp;
}

/** The application behind the sidecar. */
export interface LocalApp {
  readonly address: string;
  readonly port: number;
  readonly connectTimeoutMs: number;
  readonly maxConnections: number;
}
