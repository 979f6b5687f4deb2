import type { RuntimeConfig } from '../../config/types.ts';
import { keepNodes } from '../../domain/nodes/keeper.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Service } from '../../lib/service.ts';
import type { Leadership } from '../../store/leadership.ts';
import type { Store } from '../../store/store.ts';
import type { Logger } from '../../telemetry/types.ts';
import type { Domains } from './domains.ts';
import { nodeCatalog } from './node-catalog.ts';

export interface NodeKeeperParts {
  readonly config: RuntimeConfig;
  readonly store: Store;
  readonly leadership: Pick<Leadership, 'duty' | 'fenced'>;
  readonly domains: Domains;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Marks and removes nodes that lost their agent, while this server leads. */
export function nodeKeeper({ config, store, leadership, domains, clock, log }: NodeKeeperParts): Service {
  const own = log.child({ component: 'nodes' });
  const deps = {
    nodes: domains.nodes,
    store: leadership.fenced,
    onCommit: (listener: Parameters<Store['onCommit']>[0]) => store.onCommit(listener),
    catalog: nodeCatalog(domains.catalog),
    clock,
    log: own,
  };
  const options = { graceMs: config.nodeTimeoutMs, reconnectTimeoutMs: config.reconnectTimeoutMs };
  let end: () => Promise<void> = async () => undefined;
  return {
    name: 'node keeper',
    async start() {
      end = leadership.duty(
        'nodes',
        (tasks) => keepNodes(deps, options, tasks),
        (task, error) => own.warn('keeping nodes failed', { task, error: error.message }),
      );
    },
    stop: () => end(),
  };
}
