import type { MessageInitShape } from '@bufbuild/protobuf';
import type { UpstreamOptions } from '../../../model/proxy-options.ts';
import type { Cluster, ClusterSchema } from '../gen/envoy/config/cluster/v3/cluster_pb.ts';
import { millis } from './common.ts';

export type ClusterInit = Exclude<MessageInitShape<typeof ClusterSchema>, Cluster>;

/** Longest attempt to connect when nothing says otherwise, milliseconds, as Consul has it. */
export const CONNECT_TIMEOUT_MS = 5_000;
/** How often those that were left out are looked at, milliseconds; Envoy's own default is 10 s. */
const EJECTION_SWEEP_MS = 1_000;
/** How long an instance is left out the first time, and at most, milliseconds. */
const EJECTION_BASE_MS = 5_000;
const EJECTION_MAX_MS = 30_000;

export function circuitBreakers(
  limits: Partial<Pick<UpstreamOptions, 'maxConnections' | 'maxPendingRequests' | 'maxConcurrentRequests'>>,
): Pick<ClusterInit, 'circuitBreakers'> {
  const { maxConnections, maxPendingRequests, maxConcurrentRequests } = limits;
  if ([maxConnections, maxPendingRequests, maxConcurrentRequests].every((limit) => limit === undefined)) return {};
  const threshold = {
    ...(maxConnections === undefined ? {} : { maxConnections }),
    ...(maxPendingRequests === undefined ? {} : { maxPendingRequests }),
    ...(maxConcurrentRequests === undefined ? {} : { maxRequests: maxConcurrentRequests }),
  };
  return { circuitBreakers: { thresholds: [threshold] } };
}

/**
 * An instance that can't be reached is left out at once, and all of them may be: with Envoy's default of 10 percent one
 * of two is never left out, and no other target is tried. Answers of the application count apart, as `max_failures`
 * says.
 */
export function outlierDetection({ passiveHealthCheck }: UpstreamOptions): Pick<ClusterInit, 'outlierDetection'> {
  const { maxFailures, intervalMs, baseEjectionMs, enforcing, maxEjectionPercent } = passiveHealthCheck;
  const { consecutive5xx = maxFailures, consecutiveGatewayFailure, enforcingGatewayFailure } = passiveHealthCheck;
  return {
    outlierDetection: {
      interval: millis(intervalMs ?? EJECTION_SWEEP_MS),
      baseEjectionTime: millis(baseEjectionMs ?? EJECTION_BASE_MS),
      maxEjectionTime: millis(Math.max(EJECTION_MAX_MS, baseEjectionMs ?? 0)),
      maxEjectionPercent: maxEjectionPercent ?? 100,
      splitExternalLocalOriginErrors: true,
      consecutiveLocalOriginFailure: maxFailures ?? 1,
      enforcingConsecutiveLocalOriginFailure: 100,
      enforcingLocalOriginSuccessRate: 0,
      ...(consecutive5xx === undefined ? {} : { consecutive5xx: uint32(consecutive5xx) }),
      ...(enforcing === undefined ? {} : { enforcingConsecutive5xx: Math.trunc(enforcing) }),
      ...(consecutiveGatewayFailure === undefined
        ? {}
        : { consecutiveGatewayFailure: uint32(consecutiveGatewayFailure) }),
      ...(enforcingGatewayFailure === undefined
        ? {}
        : { enforcingConsecutiveGatewayFailure: Math.trunc(enforcingGatewayFailure) }),
      enforcingSuccessRate: 0,
    },
  };
}

/** The greatest number that a field of Envoy holds. */
const UINT32_MAX = 4_294_967_295;

function uint32(count: number): number {
  return Math.min(Math.max(1, Math.trunc(count)), UINT32_MAX);
}
