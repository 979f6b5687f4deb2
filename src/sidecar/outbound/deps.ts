import type { Clock } from '../../lib/clock.ts';
import type { TaskGroup } from '../../lib/task.ts';
import type { Logger } from '../../telemetry/types.ts';
import type { BodyBudget } from '../http/request-body.ts';
import type { SidecarLimits } from '../limits.ts';
import type { SidecarMeters } from '../meters.ts';
import type { Refusals } from '../refusals.ts';
import type { OpenConnections } from '../wire/open-connections.ts';
import type { Peer } from '../wire/peer.ts';
import type { Instances } from './instances.ts';

export interface UpstreamDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly limits: SidecarLimits;
  readonly meters: SidecarMeters;
  readonly refusals: Refusals;
  readonly instances: Instances;
  readonly open: OpenConnections;
  /** The service may not connect to the other side any longer. */
  readonly isRefused: (peer: Peer) => boolean;
  readonly tasks: TaskGroup;
  /** What handshakes use now: another value after each change. */
  readonly trust: () => unknown;
  /** Of the bodies that are kept to be sent again. */
  readonly budget: BodyBudget;
  /** Chance in [0, 1). */
  readonly random: () => number;
}
