import { parseDuration } from '../../lib/duration.ts';
import { invariant } from '../../lib/errors.ts';
import type { ServiceTarget, ServiceTargets } from '../../model/discovery-chain.ts';
import { type ChainOptions, compileChain, type EntryLookup } from './discovery-chain.ts';

/** The targets for connections whose requests are not looked into: what routers and splitters say is left out. */
export function compileTargets(lookup: EntryLookup, service: string, options: ChainOptions): ServiceTargets {
  const { StartNode, Nodes, Targets } = compileChain(lookup, service, { ...options, overrides: { protocol: 'tcp' } });
  const start = Nodes[StartNode];
  invariant(start?.Type === 'resolver', 'a chain without requests begins with a resolver');
  const { Target, Failover, ConnectTimeout } = start.Resolver;
  const ids = new Set([Target, ...(Failover?.Targets ?? [])]);
  const targets = [...ids].map((id): ServiceTarget => {
    const target = Targets[id];
    invariant(target !== undefined, 'a resolver leads to targets of its chain');
    return {
      id,
      service: target.Service,
      datacenter: target.Datacenter,
      filter: target.Subset.Filter ?? '',
      onlyPassing: target.Subset.OnlyPassing === true,
    };
  });
  return { connectTimeoutMs: parseDuration(ConnectTimeout), targets };
}
