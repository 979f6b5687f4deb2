import { isIP } from 'node:net';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { create } from '@bufbuild/protobuf';
import type { SidecarEndpoint } from '../../../model/sidecar.ts';
import type { MetadataSchema } from '../gen/envoy/config/core/v3/base_pb.ts';
import {
  type ClusterLoadAssignment,
  ClusterLoadAssignmentSchema,
} from '../gen/envoy/config/endpoint/v3/endpoint_pb.ts';
import { type Resource, resource } from '../resource.ts';
import type { ResourceBuilder } from './builder.ts';
import { socketAddress } from './common.ts';
import { destinationsOf, type Endpoints, type UpstreamDestination } from './destinations.ts';
import { oncePer } from './once.ts';

/** Where each upstream leads: a priority for each target, in its order of preference. */
export const endpoints: ResourceBuilder = {
  inputs: (snapshot) => [snapshot.config.upstreams, snapshot.upstreams, snapshot.refused, snapshot.roots.TrustDomain],
  build(snapshot) {
    const { TrustDomain } = snapshot.roots;
    const seen = new Map<string, Resource>();
    for (const upstream of snapshot.config.upstreams)
      for (const destination of destinationsOf(upstream, snapshot, TrustDomain)) {
        const { name, endpoints: list } = destination;
        if (needsNames(list) || seen.has(name)) continue; // names are part of the cluster
        seen.set(name, provisionalUnlessKnown(packed(list, name), destination));
      }
    return [...seen.values()];
  },
};

/** Nothing was heard of it since this agent started. */
export function provisionalUnlessKnown(made: Resource, { known }: UpstreamDestination): Resource {
  return known ? made : { ...made, provisional: true };
}

/** Packed once for all proxies that follow the same upstream: they share the list. */
const packed = oncePer((list: Endpoints, name) =>
  resource('endpoints', name, ClusterLoadAssignmentSchema, loadAssignment(name, list)),
);

/** Envoy takes addresses only: with a name among them it must resolve them itself. */
export function needsNames(list: Endpoints): boolean {
  return list.some(({ address }) => isIP(address) === 0);
}

export function loadAssignment(name: string, list: Endpoints): ClusterLoadAssignment {
  const groups = priorities(list);
  return create(ClusterLoadAssignmentSchema, {
    clusterName: name,
    endpoints: groups.map((group, priority) => ({
      priority,
      lbEndpoints: group.map(({ address, port, weight, service, datacenter }) => ({
        hostIdentifier: { case: 'endpoint' as const, value: { address: socketAddress(address, port) } },
        loadBalancingWeight: Math.max(1, weight),
        metadata: identityMetadata(service, datacenter),
      })),
    })),
    // A target takes all connections while one of its instances lives; by default a part goes on before.
    ...(groups.length > 1 ? { policy: { overprovisioningFactor: 100_000 } } : {}),
  });
}

/** Names the TLS settings for one identity. */
export function matchOf({ service, datacenter }: Pick<SidecarEndpoint, 'service' | 'datacenter'>): string {
  return `${service}/${datacenter}`;
}

/** Selects the TLS settings of the cluster by which this endpoint is verified. */
function identityMetadata(service: string, datacenter: string): MessageInitShape<typeof MetadataSchema> {
  return { filterMetadata: { 'envoy.transport_socket_match': { identity: matchOf({ service, datacenter }) } } };
}

/** Target by target; within one sorted, so that the order of an answer changes nothing. */
function priorities(list: Endpoints): readonly Endpoints[] {
  const groups = new Map<string, SidecarEndpoint[]>();
  for (const endpoint of list) {
    const key = endpoint.target ?? '';
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [endpoint]);
    else group.push(endpoint);
  }
  return [...groups.values()].map((group) => group.sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0)));
}
