import { create } from '@bufbuild/protobuf';
import type { ConnectProxySnapshot } from '../../../agent/proxycfg/snapshot.ts';
import { nameOf } from '../../../agent/proxycfg/upstream-resolver.ts';
import type { AccessLogs } from '../../../model/access-logs.ts';
import { upstreamOptions } from '../../../model/proxy-options.ts';
import type { SidecarUpstream } from '../../../model/sidecar.ts';
import type { Address } from '../gen/envoy/config/core/v3/address_pb.ts';
import { TrafficDirection } from '../gen/envoy/config/core/v3/base_pb.ts';
import type { Filter } from '../gen/envoy/config/listener/v3/listener_components_pb.ts';
import { ListenerSchema } from '../gen/envoy/config/listener/v3/listener_pb.ts';
import type { HttpConnectionManager_Tracing } from '../gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts';
import { TcpProxySchema } from '../gen/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.ts';
import { type Resource, resource } from '../resource.ts';
import { filterAccessLogs, listenerAccessLogs } from './access-logs.ts';
import type { ResourceBuilder } from './builder.ts';
import { balance, millis, networkFilter, pipeAddress, socketAddress } from './common.ts';
import { requestsOf } from './destinations.ts';
import { ownUpstreamListener, tracingOf } from './escape-hatches.ts';
import { connectionManager } from './http/connection-manager.ts';
import { clusterName, routesName } from './names.ts';
import type { Report } from './problems.ts';

/** Where the application reaches its upstreams: a listener each. */
export const outboundListeners: ResourceBuilder = {
  inputs: (snapshot) => [
    snapshot.config.upstreams,
    snapshot.config.accessLogs,
    snapshot.config.config,
    snapshot.roots.TrustDomain,
    snapshot.refused,
    ...snapshot.config.upstreams.flatMap((upstream) => [
      snapshot.upstreams.get(upstream.key)?.targets,
      isKnown(upstream, snapshot),
      takesRequests(upstream, snapshot),
    ]),
  ],
  build(snapshot, report) {
    const { config, roots } = snapshot;
    const tracing = tracingOf(config.config, report);
    return config.upstreams.flatMap((upstream) => {
      const address = bindAddress(upstream);
      if (address === undefined) return [];
      const filter = takesRequests(upstream, snapshot)
        ? requestsTo(upstream, roots.TrustDomain, config.accessLogs, tracing)
        : tcpProxy(upstream, clusterName(upstream, roots.TrustDomain), config.accessLogs);
      const made = outboundListener(upstream, address, filter, endedFor(upstream, snapshot), config.accessLogs, report);
      return [isKnown(upstream, snapshot) ? made : { ...made, provisional: true as const }];
    });
  },
};

function takesRequests(upstream: SidecarUpstream, snapshot: ConnectProxySnapshot): boolean {
  return requestsOf(upstream, snapshot) !== undefined;
}

/** Before that it is not known either whether its connections carry requests. */
function isKnown({ key }: SidecarUpstream, { upstreams }: ConnectProxySnapshot): boolean {
  return upstreams.get(key)?.endpoints !== undefined;
}

const NOT_REFUSED: readonly string[] = [];

/**
 * What ends the connections of an upstream. A connection leads to one target: when some may still be connected to, the
 * other side ends those that may not. Requests of one connection lead to all targets.
 */
function endedFor(upstream: SidecarUpstream, snapshot: ConnectProxySnapshot): readonly string[] {
  const names = snapshot.refused.get(upstream.key) ?? NOT_REFUSED;
  const targets = snapshot.upstreams.get(upstream.key)?.targets ?? [];
  const all = targets.every((target) => names.includes(nameOf(target)));
  return all || takesRequests(upstream, snapshot) ? names : NOT_REFUSED;
}

/** Undefined: it has nowhere to listen. */
function bindAddress({ bindAddress, bindPort, bindSocketPath, bindSocketMode }: SidecarUpstream): Address | undefined {
  if (bindSocketPath !== undefined) return pipeAddress(bindSocketPath, bindSocketMode);
  return bindPort === 0 ? undefined : socketAddress(bindAddress, bindPort);
}

/** @param refused what ends its connections. */
function outboundListener(
  upstream: SidecarUpstream,
  address: Address,
  filter: Filter,
  refused: readonly string[],
  logs: AccessLogs | undefined,
  report: Report,
): Resource {
  const name = outboundName(upstream);
  const own = ownUpstreamListener(upstream.config, name, report);
  if (own !== undefined) return resource('listener', own.name, ListenerSchema, own);
  const listener = create(ListenerSchema, {
    name,
    address,
    trafficDirection: TrafficDirection.OUTBOUND,
    ...balance(upstreamOptions(upstream.config).balanced),
    accessLog: listenerAccessLogs(logs),
    filterChains: [{ name: chainName(refused), filters: [filter] }],
  });
  return resource('listener', listener.name, ListenerSchema, listener);
}

/**
 * Envoy ends the connections of a filter chain when the chain goes: a new refusal gives it another name, which ends the
 * connections of this upstream and no other. The name follows from the rules alone, so that it is the same after a
 * restart.
 */
function chainName(refused: readonly string[]): string {
  return refused.length === 0 ? 'upstream' : `upstream without ${refused.join(', ')}`;
}

export function outboundName({ name, bindAddress, bindPort, bindSocketPath }: SidecarUpstream): string {
  return `${name}:${bindSocketPath ?? `${bindAddress}:${bindPort}`}`;
}

function requestsTo(
  upstream: SidecarUpstream,
  trustDomain: string,
  logs: AccessLogs | undefined,
  tracing: HttpConnectionManager_Tracing | undefined,
): Filter {
  return connectionManager({
    statPrefix: statPrefix(upstream),
    routes: routesName(upstream, trustDomain),
    logs,
    filters: [],
    tracing,
    clientCert: 'remove',
  });
}

function statPrefix({ name, datacenter }: SidecarUpstream): string {
  return `upstream.${name}.default.default.${datacenter}`;
}

function tcpProxy(upstream: SidecarUpstream, cluster: string, logs: AccessLogs | undefined): Filter {
  return networkFilter(
    'envoy.filters.network.tcp_proxy',
    TcpProxySchema,
    create(TcpProxySchema, {
      accessLog: filterAccessLogs(logs),
      statPrefix: statPrefix(upstream),
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
