import { create } from '@bufbuild/protobuf';
import type { Balancer, RequestProtocol } from '../../../../model/layer7/route-table.ts';
import { Cluster_LbPolicy } from '../../gen/envoy/config/cluster/v3/cluster_pb.ts';
import { HttpProtocolOptionsSchema } from '../../gen/envoy/extensions/upstreams/http/v3/http_protocol_options_pb.ts';
import { pack } from '../../resource.ts';
import type { ClusterInit } from '../options.ts';

/** What a cluster needs beside for requests. */

/** Names of protocols in TLS, the preferred one first. */
export function alpnOf(protocol: RequestProtocol): readonly string[] {
  return protocol === 'http' ? ['http/1.1'] : ['h2', 'http/1.1'];
}

export function protocolOptions(protocol: RequestProtocol): Pick<ClusterInit, 'typedExtensionProtocolOptions'> {
  const options = create(HttpProtocolOptionsSchema, {
    upstreamProtocolOptions: {
      case: 'explicitHttpConfig',
      value: {
        protocolConfig:
          protocol === 'http'
            ? { case: 'httpProtocolOptions', value: {} }
            : { case: 'http2ProtocolOptions', value: {} },
      },
    },
  });
  return {
    typedExtensionProtocolOptions: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': pack(HttpProtocolOptionsSchema, options),
    },
  };
}

/** Envoy takes no fewer choices than two. */
const MIN_CHOICES = 2;
/** Largest ring that Envoy takes. */
const MAX_RING = 8 * 1_024 * 1_024;
/** Smallest ring that it makes unless told otherwise: the largest one may not be below. */
const DEFAULT_RING = 1_024;

export function balancerOptions(balancer: Balancer): Pick<ClusterInit, 'lbPolicy' | 'lbConfig'> {
  switch (balancer.policy) {
    case 'round_robin':
      return { lbPolicy: Cluster_LbPolicy.ROUND_ROBIN };
    case 'random':
      return { lbPolicy: Cluster_LbPolicy.RANDOM };
    case 'maglev':
      return { lbPolicy: Cluster_LbPolicy.MAGLEV };
    case 'least_request': {
      const choiceCount = Math.max(MIN_CHOICES, balancer.choices);
      return {
        lbPolicy: Cluster_LbPolicy.LEAST_REQUEST,
        lbConfig: { case: 'leastRequestLbConfig', value: { choiceCount } },
      };
    }
    case 'ring_hash': {
      const maximum = Math.min(balancer.maximumSize || MAX_RING, MAX_RING);
      const minimum = Math.min(balancer.minimumSize || DEFAULT_RING, maximum);
      return {
        lbPolicy: Cluster_LbPolicy.RING_HASH,
        lbConfig: {
          case: 'ringHashLbConfig',
          value: { minimumRingSize: BigInt(minimum), maximumRingSize: BigInt(maximum) },
        },
      };
    }
  }
}
