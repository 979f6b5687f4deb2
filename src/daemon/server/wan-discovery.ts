import type { RuntimeConfig } from '../../config/types.ts';
import { DEFAULT_WAN_PORT } from '../../federation/address.ts';
import type { Federation } from '../../federation/federation.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Service } from '../../lib/service.ts';
import type { Logger } from '../../telemetry/types.ts';
import { createJoinDiscovery } from '../join-discovery-service.ts';

/** Datacenters that `retry_join_wan` names by a program or a name: looked for until one of them is there. */
export function wanDiscovery(
  config: Pick<RuntimeConfig, 'joinSourcesWan' | 'retryIntervalMs'>,
  federation: Pick<Federation, 'join'>,
  clock: Clock,
  log: Logger,
): Service {
  let joined = false;
  return createJoinDiscovery({
    sources: config.joinSourcesWan,
    defaultPort: DEFAULT_WAN_PORT,
    async use(_source, addresses, signal) {
      await federation.join(addresses, signal);
      joined = true;
    },
    needed: () => !joined,
    startMs: 0, // nothing here waits for another datacenter
    retryIntervalMs: config.retryIntervalMs,
    clock,
    log: log.child({ component: 'federation' }),
  });
}
