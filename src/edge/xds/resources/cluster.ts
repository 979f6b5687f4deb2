import { create } from '@bufbuild/protobuf';
import type { ConnectProxySnapshot } from '../../../agent/proxycfg/snapshot.ts';
import type { UpstreamState } from '../../../agent/proxycfg/upstream-resolver.ts';
import { localOptions, upstreamOptions } from '../../../model/proxy-options.ts';
import type { SidecarConfig, SidecarUpstream } from '../../../model/sidecar.ts';
import { Cluster_DiscoveryType, ClusterSchema } from '../gen/envoy/config/cluster/v3/cluster_pb.ts';
import type { TransportSocket } from '../gen/envoy/config/core/v3/base_pb.ts';
import { type Resource, resource } from '../resource.ts';
import type { ResourceBuilder } from './builder.ts';
import { millis, overThisStream, socketAddress } from './common.ts';
import { dialled, loadAssignment, matchOf, needsNames, provisionalUnlessKnown } from './endpoints.ts';
import { identityOf } from './identity.ts';
import { clusterName, LOCAL_APP, serviceSni, upstreamName } from './names.ts';
import {
  type ClusterInit,
  CONNECT_TIMEOUT_MS,
  circuitBreakers,
  connectTimeoutMs,
  outlierDetection,
} from './options.ts';
import { upstreamTls } from './tls.ts';

/** Where connections go: the application behind the sidecar, and each upstream. */
export const clusters: ResourceBuilder = {
  inputs: (snapshot) => [
    snapshot.config,
    snapshot.roots.TrustDomain,
    ...snapshot.config.upstreams.flatMap((upstream) => ofUpstream(upstream, snapshot)),
  ],
  build(snapshot) {
    const { config, roots } = snapshot;
    const made = new Map<string, Resource>();
    const local = localApp(config);
    if (local !== undefined) made.set(local.name, local);
    for (const upstream of config.upstreams) {
      const name = clusterName(upstream, roots.TrustDomain);
      if (!made.has(name))
        made.set(name, provisionalUnlessKnown(upstreamCluster(name, upstream, snapshot), upstream, snapshot));
    }
    return [...made.values()];
  },
};

/** What a cluster is made of: instances come and go without changing it, as long as they have addresses. */
function ofUpstream({ key }: SidecarUpstream, { upstreams, refused }: ConnectProxySnapshot): readonly unknown[] {
  const state = upstreams.get(key);
  const list = state?.endpoints;
  const named = list !== undefined && needsNames(list);
  return [state?.targets, list === undefined, list?.[0]?.connectTimeoutMs, named && list, named && refused.get(key)];
}

function localApp({ local, config }: SidecarConfig): Resource | undefined {
  if (local === undefined) return undefined;
  const { connectTimeoutMs: timeout, maxConnections } = localOptions(config);
  return resource(
    'cluster',
    LOCAL_APP,
    ClusterSchema,
    create(ClusterSchema, {
      name: LOCAL_APP,
      clusterDiscoveryType: { case: 'type', value: Cluster_DiscoveryType.STATIC },
      connectTimeout: millis(timeout ?? CONNECT_TIMEOUT_MS),
      loadAssignment: {
        clusterName: LOCAL_APP,
        endpoints: [
          {
            lbEndpoints: [
              { hostIdentifier: { case: 'endpoint', value: { address: socketAddress(local.address, local.port) } } },
            ],
          },
        ],
      },
      ...circuitBreakers({ maxConnections }),
    }),
  );
}

function upstreamCluster(name: string, upstream: SidecarUpstream, snapshot: ConnectProxySnapshot): Resource {
  const { TrustDomain } = snapshot.roots;
  const state = snapshot.upstreams.get(upstream.key);
  const list = dialled(upstream, snapshot);
  const options = upstreamOptions(upstream.config);
  const named = needsNames(list);
  return resource(
    'cluster',
    name,
    ClusterSchema,
    create(ClusterSchema, {
      name,
      altStatName: upstreamName(upstream, TrustDomain),
      ...(named
        ? {
            clusterDiscoveryType: { case: 'type', value: Cluster_DiscoveryType.STRICT_DNS },
            loadAssignment: loadAssignment(name, list),
          }
        : {
            clusterDiscoveryType: { case: 'type', value: Cluster_DiscoveryType.EDS },
            edsClusterConfig: { edsConfig: overThisStream() },
          }),
      connectTimeout: millis(connectTimeoutMs(options, state?.endpoints ?? [])),
      ...verifiedTls(identitiesOf(upstream, state), TrustDomain),
      upstreamConnectionOptions: { tcpKeepalive: {} },
      ...circuitBreakers(options),
      ...outlierDetection(options),
    }),
  );
}

interface Identity {
  readonly service: string;
  readonly datacenter: string;
}

/** All that an upstream may lead to now, in a stable order. A service that nothing is known of is itself. */
function identitiesOf({ name, datacenter }: SidecarUpstream, state: UpstreamState | undefined): readonly Identity[] {
  const known = new Map<string, Identity>();
  for (const identity of state?.targets ?? []) known.set(matchOf(identity), identity);
  if (known.size === 0) return [{ service: name, datacenter }];
  return [...known.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, identity]) => identity);
}

/**
 * Each instance must prove exactly the identity of what it is an instance of: its metadata selects the settings. What has
 * none of them is verified as the first.
 */
function verifiedTls(
  identities: readonly Identity[],
  trustDomain: string,
): Pick<ClusterInit, 'transportSocket' | 'transportSocketMatches'> {
  const socketOf = ({ service, datacenter }: Identity): TransportSocket =>
    upstreamTls(serviceSni(service, datacenter, trustDomain), identityOf(service, datacenter, trustDomain));
  const [first] = identities as readonly [Identity, ...Identity[]];
  if (identities.length === 1) return { transportSocket: socketOf(first) };
  return {
    transportSocket: socketOf(first),
    transportSocketMatches: identities.map((identity) => ({
      name: matchOf(identity),
      match: { identity: matchOf(identity) },
      transportSocket: socketOf(identity),
    })),
  };
}
