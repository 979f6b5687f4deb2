import { create } from '@bufbuild/protobuf';
import type { AccessLogs } from '../../../model/access-logs.ts';
import type { MeshSettings } from '../../../model/layer7/mesh-settings.ts';
import { isRequestProtocol } from '../../../model/layer7/route-table.ts';
import { localOptions } from '../../../model/proxy-options.ts';
import { TrafficDirection } from '../gen/envoy/config/core/v3/base_pb.ts';
import { type Filter, FilterSchema } from '../gen/envoy/config/listener/v3/listener_components_pb.ts';
import { ListenerSchema } from '../gen/envoy/config/listener/v3/listener_pb.ts';
import { JwtAuthenticationSchema } from '../gen/envoy/extensions/filters/http/jwt_authn/v3/config_pb.ts';
import { RBACSchema as RequestRbacSchema } from '../gen/envoy/extensions/filters/http/rbac/v3/rbac_pb.ts';
import type { HttpFilter } from '../gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts';
import { RBACSchema } from '../gen/envoy/extensions/filters/network/rbac/v3/rbac_pb.ts';
import {
  TcpProxy_ConnectMode as ConnectMode,
  TcpProxySchema,
} from '../gen/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.ts';
import { resource } from '../resource.ts';
import { filterAccessLogs, listenerAccessLogs } from './access-logs.ts';
import type { ResourceBuilder } from './builder.ts';
import { noteCaller, separatesCallers } from './callers.ts';
import { balance, millis, networkFilter, overThisStream, socketAddress } from './common.ts';
import { ownPublicListener, tracingOf } from './escape-hatches.ts';
import { alpnOf } from './http/cluster-options.ts';
import {
  changedManager,
  connectionManager,
  discoveredFilter,
  type RequestsOptions,
} from './http/connection-manager.ts';
import { rateLimitFilter } from './http/rate-limits.ts';
import {
  CALLERS,
  INBOUND_ROUTES,
  LOCAL_APP,
  NETWORK_RULES,
  PUBLIC_LISTENER,
  REQUEST_RULES,
  REQUEST_TOKENS,
} from './names.ts';
import { downstreamTls } from './tls.ts';

/** Where other sidecars reach the application: mutual TLS, then the rules, then the application. */
export const inboundListener: ResourceBuilder = {
  inputs: (snapshot) => [
    snapshot.config,
    snapshot.protocol,
    snapshot.entries.mesh,
    snapshot.roots.TrustDomain,
    separatesCallers(snapshot),
  ],
  build(snapshot, report) {
    const { config, protocol, entries, roots } = snapshot;
    const { listen, local } = config;
    if (listen === undefined || local === undefined) return [];
    const { address, port } = listen;
    const requests = isRequestProtocol(protocol);
    const name = `${PUBLIC_LISTENER}:${address}:${port}`;
    const transportSocket = downstreamTls(roots.TrustDomain, {
      alpn: requests ? alpnOf(protocol) : [],
      limits: entries.mesh.incoming,
    });
    const own = ownPublicListener(config.config, name, { transportSocket, guards: guardsOf(requests) }, report);
    if (own !== undefined) return [resource('listener', own.name, ListenerSchema, own)];
    const listener = create(ListenerSchema, {
      name,
      address: socketAddress(address, port),
      trafficDirection: TrafficDirection.INBOUND,
      ...balance(localOptions(config.config).balanced),
      accessLog: listenerAccessLogs(config.accessLogs),
      filterChains: [
        {
          name: 'inbound',
          transportSocket,
          filters: requests
            ? takesRequests(entries.mesh, {
                logs: config.accessLogs,
                tracing: tracingOf(config.config, report),
                maxRequestHeadersKb: localOptions(config.config).maxRequestHeadersKb,
              })
            : takesConnections(config.accessLogs, separatesCallers(snapshot)),
        },
      ],
    });
    return [resource('listener', listener.name, ListenerSchema, listener)];
  },
};

/** What a caller may have sent before the way to the application is open. */
const EARLY_BYTES = 65_536;

// The rules are resources of their own: a changed rule closes no connection.

/** @param separate on to the listener in which callers are kept apart, not to the application at once. */
function takesConnections(logs: AccessLogs | undefined, separate: boolean): Filter[] {
  return [
    connectionRules(),
    ...(separate ? [noteCaller()] : []),
    networkFilter(
      'envoy.filters.network.tcp_proxy',
      TcpProxySchema,
      create(TcpProxySchema, {
        statPrefix: PUBLIC_LISTENER,
        accessLog: filterAccessLogs(logs),
        clusterSpecifier: { case: 'cluster', value: separate ? CALLERS : LOCAL_APP },
        ...(separate
          ? { upstreamConnectMode: ConnectMode.ON_DOWNSTREAM_TLS_HANDSHAKE, maxEarlyDataBytes: EARLY_BYTES }
          : {}),
        idleTimeout: millis(0),
      }),
    ),
  ];
}

function connectionRules(): Filter {
  return create(FilterSchema, {
    name: NETWORK_RULES,
    configType: {
      case: 'configDiscovery',
      value: { configSource: overThisStream(), typeUrls: [`type.googleapis.com/${RBACSchema.typeName}`] },
    },
  });
}

/** The rules in front of what a user's own listener does. */
function guardsOf(requests: boolean): (filters: readonly Filter[]) => Filter[] {
  return (filters) => {
    if (!requests) return [connectionRules(), ...filters];
    let guarded = false;
    const made = filters.map((filter) =>
      changedManager(filter, (manager) => {
        guarded = true;
        manager.httpFilters = [...requestGuards(), ...manager.httpFilters];
      }),
    );
    if (!guarded)
      throw new Error('has a filter chain without an HTTP connection manager, and the service takes requests');
    return made;
  };
}

function requestGuards(): HttpFilter[] {
  return [
    discoveredFilter(REQUEST_TOKENS, JwtAuthenticationSchema.typeName),
    discoveredFilter(REQUEST_RULES, RequestRbacSchema.typeName),
  ];
}

/** Each request is asked about anew: a new deny counts on connections that are open, too. */
function takesRequests(
  { sanitizeClientCert, normalisation }: MeshSettings,
  options: Pick<RequestsOptions, 'logs' | 'tracing' | 'maxRequestHeadersKb'>,
): Filter[] {
  return [
    connectionManager({
      ...options,
      statPrefix: PUBLIC_LISTENER,
      routes: INBOUND_ROUTES,
      filters: [...requestGuards(), rateLimitFilter()],
      clientCert: sanitizeClientCert ? 'remove' : 'set',
      normalisation,
    }),
  ];
}
