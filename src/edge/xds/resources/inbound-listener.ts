import { create } from '@bufbuild/protobuf';
import { localOptions } from '../../../model/proxy-options.ts';
import { TrafficDirection } from '../gen/envoy/config/core/v3/base_pb.ts';
import { FilterSchema } from '../gen/envoy/config/listener/v3/listener_components_pb.ts';
import { ListenerSchema } from '../gen/envoy/config/listener/v3/listener_pb.ts';
import { RBACSchema } from '../gen/envoy/extensions/filters/network/rbac/v3/rbac_pb.ts';
import { TcpProxySchema } from '../gen/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.ts';
import { resource } from '../resource.ts';
import { filterAccessLogs, listenerAccessLogs } from './access-logs.ts';
import type { ResourceBuilder } from './builder.ts';
import { balance, millis, networkFilter, overThisStream, socketAddress } from './common.ts';
import { LOCAL_APP, NETWORK_RULES, PUBLIC_LISTENER } from './names.ts';
import { downstreamTls } from './tls.ts';

/** Where other sidecars reach the application: mutual TLS, then the rules, then the application. */
export const inboundListener: ResourceBuilder = {
  inputs: (snapshot) => [snapshot.config, snapshot.roots.TrustDomain],
  build({ config, roots }) {
    const { listen, local } = config;
    if (listen === undefined || local === undefined) return [];
    const { address, port } = listen;
    const listener = create(ListenerSchema, {
      name: `${PUBLIC_LISTENER}:${address}:${port}`,
      address: socketAddress(address, port),
      trafficDirection: TrafficDirection.INBOUND,
      ...balance(localOptions(config.config).balanced),
      accessLog: listenerAccessLogs(config.accessLogs),
      filterChains: [
        {
          name: 'inbound',
          transportSocket: downstreamTls(roots.TrustDomain),
          filters: [
            // The rules are a resource of their own: a changed rule closes no connection.
            create(FilterSchema, {
              name: NETWORK_RULES,
              configType: {
                case: 'configDiscovery',
                value: {
                  configSource: overThisStream(),
                  typeUrls: [`type.googleapis.com/${RBACSchema.typeName}`],
                },
              },
            }),
            networkFilter(
              'envoy.filters.network.tcp_proxy',
              TcpProxySchema,
              create(TcpProxySchema, {
                statPrefix: PUBLIC_LISTENER,
                accessLog: filterAccessLogs(config.accessLogs),
                clusterSpecifier: { case: 'cluster', value: LOCAL_APP },
                idleTimeout: millis(0),
              }),
            ),
          ],
        },
      ],
    });
    return [resource('listener', listener.name, ListenerSchema, listener)];
  },
};
