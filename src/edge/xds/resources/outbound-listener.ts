import { create } from '@bufbuild/protobuf';
import type { AccessLogs } from '../../../model/access-logs.ts';
import { upstreamOptions } from '../../../model/proxy-options.ts';
import type { SidecarUpstream } from '../../../model/sidecar.ts';
import type { Address } from '../gen/envoy/config/core/v3/address_pb.ts';
import { TrafficDirection } from '../gen/envoy/config/core/v3/base_pb.ts';
import { ListenerSchema } from '../gen/envoy/config/listener/v3/listener_pb.ts';
import { TcpProxySchema } from '../gen/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.ts';
import { type Resource, resource } from '../resource.ts';
import { filterAccessLogs, listenerAccessLogs } from './access-logs.ts';
import type { ResourceBuilder } from './builder.ts';
import { balance, millis, networkFilter, pipeAddress, socketAddress } from './common.ts';
import { clusterName } from './names.ts';

/** Where the application reaches its upstreams: a listener each. */
export const outboundListeners: ResourceBuilder = {
  inputs: (snapshot) => [
    snapshot.config.upstreams,
    snapshot.config.accessLogs,
    snapshot.roots.TrustDomain,
    snapshot.refused,
  ],
  build({ config, roots, refused }) {
    return config.upstreams.flatMap((upstream) => {
      const address = bindAddress(upstream);
      return address === undefined
        ? []
        : [
            outboundListener(
              upstream,
              address,
              roots.TrustDomain,
              refused.get(upstream.key) ?? NOT_REFUSED,
              config.accessLogs,
            ),
          ];
    });
  },
};

const NOT_REFUSED: readonly string[] = [];

/** Undefined: it has nowhere to listen. */
function bindAddress({ bindAddress, bindPort, bindSocketPath, bindSocketMode }: SidecarUpstream): Address | undefined {
  if (bindSocketPath !== undefined) return pipeAddress(bindSocketPath, bindSocketMode);
  return bindPort === 0 ? undefined : socketAddress(bindAddress, bindPort);
}

/** @param refused what the upstream leads to and may not connect to. */
function outboundListener(
  upstream: SidecarUpstream,
  address: Address,
  trustDomain: string,
  refused: readonly string[],
  logs: AccessLogs | undefined,
): Resource {
  const { name, bindAddress, bindPort, bindSocketPath } = upstream;
  const listener = create(ListenerSchema, {
    name: `${name}:${bindSocketPath ?? `${bindAddress}:${bindPort}`}`,
    address,
    trafficDirection: TrafficDirection.OUTBOUND,
    ...balance(upstreamOptions(upstream.config).balanced),
    accessLog: listenerAccessLogs(logs),
    filterChains: [
      { name: chainName(refused), filters: [tcpProxy(upstream, clusterName(upstream, trustDomain), logs)] },
    ],
  });
  return resource('listener', listener.name, ListenerSchema, listener);
}

/**
 * Envoy ends the connections of a filter chain when the chain goes: a new refusal gives it another name, which ends the
 * connections of this upstream and no other. The name follows from the rules alone, so that it is the same after a restart.
 */
function chainName(refused: readonly string[]): string {
  return refused.length === 0 ? 'upstream' : `upstream without ${refused.join(', ')}`;
}

function tcpProxy({ name, datacenter }: SidecarUpstream, cluster: string, logs: AccessLogs | undefined) {
  return networkFilter(
    'envoy.filters.network.tcp_proxy',
    TcpProxySchema,
    create(TcpProxySchema, {
      accessLog: filterAccessLogs(logs),
      statPrefix: `upstream.${name}.default.default.${datacenter}`,
      clusterSpecifier: { case: 'cluster', value: cluster },
      maxConnectAttempts: CONNECT_ATTEMPTS,
      // Pauses long enough that an instance which failed was left out meanwhile, and another target is tried.
      backoffOptions: { baseInterval: millis(20), maxInterval: millis(200) },
      idleTimeout: millis(0), // an open connection is never too quiet; dead ones are found by TCP keep-alive
    }),
  );
}

/** Attempts for one connection of the application. */
const CONNECT_ATTEMPTS = 3;
