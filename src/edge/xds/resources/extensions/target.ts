import { create, type MessageInitShape } from '@bufbuild/protobuf';
import type { ExtensionTarget, GrpcTarget } from '../../../../model/envoy-extensions/extensions.ts';
import { type Cluster, Cluster_DiscoveryType, ClusterSchema } from '../../gen/envoy/config/cluster/v3/cluster_pb.ts';
import { type GrpcService, GrpcServiceSchema } from '../../gen/envoy/config/core/v3/grpc_service_pb.ts';
import { millis, socketAddress } from '../common.ts';
import { protocolOptions } from '../http/cluster-options.ts';
import { CONNECT_TIMEOUT_MS } from '../options.ts';
import type { PatchContext } from './patch.ts';

/** A service that an extension calls. */

/** For its answer when nothing is said, milliseconds. */
export const TARGET_TIMEOUT_MS = 1_000;

/** Name of the cluster by which it is reached. @param local of the one beside the proxy */
export function targetCluster({ at }: ExtensionTarget, local: string, context: PatchContext): string {
  return 'service' in at ? context.clusterOf(at.service) : local;
}

/** The cluster of one beside the proxy; an upstream has one already. */
export function localCluster({ at, timeoutMs }: ExtensionTarget, name: string, grpc: boolean): readonly Cluster[] {
  if ('service' in at) return [];
  const address = socketAddress(at.host, at.port);
  return [
    create(ClusterSchema, {
      name,
      clusterDiscoveryType: { case: 'type', value: Cluster_DiscoveryType.STATIC },
      connectTimeout: millis(timeoutMs ?? CONNECT_TIMEOUT_MS),
      loadAssignment: {
        clusterName: name,
        endpoints: [{ lbEndpoints: [{ hostIdentifier: { case: 'endpoint', value: { address } } }] }],
      },
      ...(grpc ? protocolOptions('grpc') : {}),
    }),
  ];
}

export function grpcService(
  target: GrpcTarget,
  local: string,
  context: PatchContext,
): MessageInitShape<typeof GrpcServiceSchema> {
  const { authority, metadata, timeoutMs = TARGET_TIMEOUT_MS } = target;
  const service: GrpcService = create(GrpcServiceSchema, {
    targetSpecifier: {
      case: 'envoyGrpc',
      value: { clusterName: targetCluster(target, local, context), authority },
    },
    timeout: millis(timeoutMs),
    initialMetadata: metadata.map(([key, value]) => ({ key, value })),
  });
  return service;
}
