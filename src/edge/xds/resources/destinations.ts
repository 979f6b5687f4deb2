import type { ConnectProxySnapshot } from '../../../agent/proxycfg/snapshot.ts';
import { nameOf } from '../../../agent/proxycfg/upstream-resolver.ts';
import type { Balancer, RequestProtocol } from '../../../model/layer7/route-table.ts';
import { type UpstreamOptions, upstreamOptions } from '../../../model/proxy-options.ts';
import type { SidecarEndpoint, SidecarRequests, SidecarUpstream } from '../../../model/sidecar.ts';
import { clusterName, destinationName, statName, upstreamName } from './names.ts';
import { oncePer } from './once.ts';
import { CONNECT_TIMEOUT_MS } from './options.ts';

export type Endpoints = readonly SidecarEndpoint[];

/** What a cluster is made for: all that a connection of an upstream leads to, or one destination of its requests. */
export interface UpstreamDestination {
  /** Of the cluster, and of its endpoints. */
  readonly name: string;
  readonly statName: string;
  /** Those that are dialled, in the order of preference. */
  readonly endpoints: Endpoints;
  /** False: nothing was heard of them since this agent started. */
  readonly known: boolean;
  /** As the resolver of the service says. */
  readonly connectTimeoutMs: number;
  /** For one that takes requests. */
  readonly requests?: { readonly protocol: RequestProtocol; readonly balancer: Balancer };
}

type Followed = Pick<ConnectProxySnapshot, 'upstreams' | 'refused'>;

/** Where the requests of an upstream go; undefined when it carries connections, whatever they carry. */
export function requestsOf({ key, config }: SidecarUpstream, { upstreams }: Followed): SidecarRequests | undefined {
  return upstreamOptions(config).protocol === 'tcp' ? undefined : upstreams.get(key)?.requests;
}

export function destinationsOf(
  upstream: SidecarUpstream,
  snapshot: Followed,
  trustDomain: string,
): readonly UpstreamDestination[] {
  const requests = requestsOf(upstream, snapshot);
  if (requests === undefined) return [connections(upstream, snapshot, trustDomain)];
  const { protocol, destinations } = requests.table;
  return Object.keys(destinations)
    .sort()
    .flatMap((id) => {
      const destination = destinations[id];
      if (destination === undefined) return [];
      const endpoints = listOf(requests, id);
      return {
        name: destinationName(upstream, id, trustDomain),
        statName: statName(id, trustDomain),
        endpoints: allowed(endpoints, upstream, snapshot),
        known: endpoints.length > 0 || destination.targets.every((target) => target in requests.endpoints),
        connectTimeoutMs: destination.connectTimeoutMs,
        requests: { protocol, balancer: destination.balancer },
      };
    });
}

function connections(upstream: SidecarUpstream, snapshot: Followed, trustDomain: string): UpstreamDestination {
  const known = snapshot.upstreams.get(upstream.key)?.endpoints;
  return {
    name: clusterName(upstream, trustDomain),
    statName: upstreamName(upstream, trustDomain),
    endpoints: allowed(known ?? NONE, upstream, snapshot),
    known: known !== undefined,
    connectTimeoutMs: known?.[0]?.connectTimeoutMs ?? CONNECT_TIMEOUT_MS,
  };
}

const NONE: Endpoints = [];

/** Of one destination: target by target in its order, those whose datacenter can't be reached last. */
const listOf = oncePer((requests: SidecarRequests, id): Endpoints => {
  const targets = requests.table.destinations[id]?.targets ?? [];
  const all = targets.flatMap((target) => requests.endpoints[target] ?? []);
  return [...all.filter(({ lastResort }) => !lastResort), ...all.filter(({ lastResort }) => lastResort)];
});

/**
 * Without those that may not be connected to: what is opened after the connections were ended, and before the other
 * side knows of the rule, would stay open.
 */
function allowed(known: Endpoints, { key }: SidecarUpstream, { refused }: Followed): Endpoints {
  const names = refused.get(key);
  return names === undefined ? known : known.filter((endpoint) => !names.includes(nameOf(endpoint)));
}

/** The upstream's own option goes before what the resolver of the service says. */
export function connectTimeoutOf(destination: UpstreamDestination, options: UpstreamOptions): number {
  return options.connectTimeoutMs ?? destination.connectTimeoutMs;
}
