import { parseDuration } from '../../lib/duration.ts';
import { invariant } from '../../lib/errors.ts';
import type { ChainTarget, DiscoveryChain, ServiceTarget, ServiceTargets } from '../../model/discovery-chain.ts';
import { isRequestProtocol } from '../../model/layer7/route-table.ts';
import { type ChainOptions, compileChain, type EntryLookup } from './discovery-chain.ts';

/** Where connections go, and requests where the service's protocol has them. */
export function compileTargets(lookup: EntryLookup, service: string, options: ChainOptions): ServiceTargets {
  const chain = compileChain(lookup, service, options);
  const connections = compileConnections(lookup, service, options);
  if (!isRequestProtocol(chain.Protocol)) return connections;
  return { ...connections, requests: { chain, targets: Object.values(chain.Targets).map(targetOf) } };
}

/** The targets for connections that are forwarded as bytes: what routers and splitters say is left out. */
function compileConnections(lookup: EntryLookup, service: string, options: ChainOptions): ServiceTargets {
  const { StartNode, Nodes, Targets }: DiscoveryChain = compileChain(lookup, service, {
    ...options,
    overrides: { protocol: 'tcp' },
  });
  const start = Nodes[StartNode];
  invariant(start?.Type === 'resolver', 'a chain without requests begins with a resolver');
  const { Target, Failover, ConnectTimeout } = start.Resolver;
  const ids = new Set([Target, ...(Failover?.Targets ?? [])]);
  const targets = [...ids].map((id): ServiceTarget => {
    const target = Targets[id];
    invariant(target !== undefined, 'a resolver leads to targets of its chain');
    return targetOf(target);
  });
  return { connectTimeoutMs: parseDuration(ConnectTimeout), targets };
}

function targetOf({ ID, Service, Datacenter, Subset }: ChainTarget): ServiceTarget {
  return {
    id: ID,
    service: Service,
    datacenter: Datacenter,
    filter: Subset.Filter ?? '',
    onlyPassing: Subset.OnlyPassing === true,
  };
}
