import { create } from '@bufbuild/protobuf';
import type { ConnectProxySnapshot } from '../../../agent/proxycfg/snapshot.ts';
import type { UpstreamState } from '../../../agent/proxycfg/upstream-resolver.ts';
import { isRequestProtocol } from '../../../model/layer7/route-table.ts';
import { localOptions, upstreamOptions } from '../../../model/proxy-options.ts';
import type { SidecarConfig, SidecarUpstream } from '../../../model/sidecar.ts';
import { Cluster_DiscoveryType, ClusterSchema } from '../gen/envoy/config/cluster/v3/cluster_pb.ts';
import type { TransportSocket } from '../gen/envoy/config/core/v3/base_pb.ts';
import { type Resource, resource } from '../resource.ts';
import type { ResourceBuilder } from './builder.ts';
import { millis, overThisStream, socketAddress } from './common.ts';
import { connectTimeoutOf, destinationsOf, requestsOf, type UpstreamDestination } from './destinations.ts';
import { loadAssignment, matchOf, needsNames, provisionalUnlessKnown } from './endpoints.ts';
import { ownLocalCluster, ownUpstreamCluster } from './escape-hatches.ts';
import { alpnOf, balancerOptions, protocolOptions } from './http/cluster-options.ts';
import { identityOf } from './identity.ts';
import { LOCAL_APP, serviceSni } from './names.ts';
import { type ClusterInit, CONNECT_TIMEOUT_MS, circuitBreakers, outlierDetection } from './options.ts';
import type { Report } from './problems.ts';
import { type TlsOptions, upstreamTls } from './tls.ts';

/** Where connections go: the application behind the sidecar, and each upstream. */
export const clusters: ResourceBuilder = {
  inputs: (snapshot) => [
    snapshot.config,
    snapshot.roots.TrustDomain,
    snapshot.protocol,
    snapshot.entries.mesh,
    ...snapshot.config.upstreams.flatMap((upstream) => ofUpstream(upstream, snapshot)),
  ],
  build(snapshot, report) {
    const { config, roots } = snapshot;
    const made = new Map<string, Resource>();
    const local = localApp(config, snapshot.protocol, report);
    if (local !== undefined) made.set(local.name, local);
    for (const upstream of config.upstreams)
      for (const destination of destinationsOf(upstream, snapshot, roots.TrustDomain)) {
        if (made.has(destination.name)) continue;
        const cluster = upstreamCluster(destination, upstream, snapshot, report);
        made.set(destination.name, provisionalUnlessKnown(cluster, destination));
      }
    return [...made.values()];
  },
};

/** What clusters are made of: instances come and go without changing them, as long as they have addresses. */
function ofUpstream(upstream: SidecarUpstream, snapshot: ConnectProxySnapshot): readonly unknown[] {
  return [
    snapshot.upstreams.get(upstream.key)?.targets,
    requestsOf(upstream, snapshot)?.table,
    ...destinationsOf(upstream, snapshot, snapshot.roots.TrustDomain).flatMap(
      ({ endpoints, known, connectTimeoutMs }) => [known, connectTimeoutMs, needsNames(endpoints) && endpoints],
    ),
  ];
}

function localApp({ local, config }: SidecarConfig, protocol: string, report: Report): Resource | undefined {
  if (local === undefined) return undefined;
  const { connectTimeoutMs: timeout, maxConnections } = localOptions(config);
  const made = create(ClusterSchema, {
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
    ...(isRequestProtocol(protocol) ? protocolOptions(protocol) : {}),
    ...circuitBreakers({ maxConnections }),
  });
  return resource('cluster', LOCAL_APP, ClusterSchema, ownLocalCluster(config, made, report));
}

function upstreamCluster(
  destination: UpstreamDestination,
  upstream: SidecarUpstream,
  snapshot: ConnectProxySnapshot,
  report: Report,
): Resource {
  const { TrustDomain } = snapshot.roots;
  const { name, statName, endpoints, requests } = destination;
  const options = upstreamOptions(upstream.config);
  const made = create(ClusterSchema, {
    name,
    altStatName: statName,
    ...(needsNames(endpoints)
      ? {
          clusterDiscoveryType: { case: 'type', value: Cluster_DiscoveryType.STRICT_DNS },
          loadAssignment: loadAssignment(name, endpoints),
        }
      : {
          clusterDiscoveryType: { case: 'type', value: Cluster_DiscoveryType.EDS },
          edsClusterConfig: { edsConfig: overThisStream() },
        }),
    connectTimeout: millis(connectTimeoutOf(destination, options)),
    ...verifiedTls(identitiesOf(upstream, snapshot.upstreams.get(upstream.key)), TrustDomain, {
      alpn: requests === undefined ? [] : alpnOf(requests.protocol),
      limits: snapshot.entries.mesh.outgoing,
    }),
    upstreamConnectionOptions: { tcpKeepalive: {} },
    ...(requests === undefined ? {} : { ...protocolOptions(requests.protocol), ...balancerOptions(requests.balancer) }),
    ...circuitBreakers(options),
    ...outlierDetection(options),
  });
  // What replaces it is one cluster: it can't stand for several destinations.
  const only =
    requests === undefined || Object.keys(requestsOf(upstream, snapshot)?.table.destinations ?? {}).length === 1;
  if (!only && typeof upstream.config.envoy_cluster_json === 'string')
    report({
      option: `envoy_cluster_json of ${name}`,
      why: 'is not taken: requests to the upstream go to several places',
    });
  return resource('cluster', name, ClusterSchema, only ? ownUpstreamCluster(upstream.config, made, report) : made);
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
 * Each instance must prove exactly the identity of what it is an instance of: its metadata selects the settings. What
 * has none of them is verified as the first.
 */
function verifiedTls(
  identities: readonly Identity[],
  trustDomain: string,
  options: TlsOptions,
): Pick<ClusterInit, 'transportSocket' | 'transportSocketMatches'> {
  const socketOf = ({ service, datacenter }: Identity): TransportSocket =>
    upstreamTls(serviceSni(service, datacenter, trustDomain), identityOf(service, datacenter, trustDomain), options);
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
