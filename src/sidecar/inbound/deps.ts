import type { Clock } from '../../lib/clock.ts';
import type { TaskGroup } from '../../lib/task.ts';
import type { MeshSettings } from '../../model/layer7/mesh-settings.ts';
import type { RequestProtocol } from '../../model/layer7/route-table.ts';
import type { Logger } from '../../telemetry/types.ts';
import type { BodyBudget } from '../http/request-body.ts';
import type { SidecarLimits } from '../limits.ts';
import type { SidecarMeters } from '../meters.ts';
import type { Refusals } from '../refusals.ts';
import type { OpenConnections } from '../wire/open-connections.ts';
import type { PeerReader } from '../wire/peer.ts';
import type { Trust } from '../wire/trust.ts';
import type { Authorizer } from './authorizer.ts';
import type { RateLimiter } from './rate-limiter.ts';

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
  /** How requests are taken; undefined: the service has connections, no requests. */
  readonly requests: () => InboundProtocol | undefined;
  readonly tasks: TaskGroup;
  /** Of the bodies that are kept to be sent again. */
  readonly budget: BodyBudget;
}

export interface InboundProtocol {
  readonly protocol: RequestProtocol;
  readonly mesh: MeshSettings;
  readonly limiter: RateLimiter | undefined;
}

/** The application behind the sidecar. */
export interface LocalApp {
  readonly address: string;
  readonly port: number;
  readonly connectTimeoutMs: number;
  readonly maxConnections: number;
  /** 0: for ever. */
  readonly requestTimeoutMs: number;
}
