import { isIP } from 'node:net';
import { create } from '@bufbuild/protobuf';
import type { AccessLogs } from '../../../model/access-logs.ts';
import type { ExposedPath } from '../../../model/sidecar.ts';
import { Cluster_DiscoveryType, ClusterSchema } from '../gen/envoy/config/cluster/v3/cluster_pb.ts';
import { TrafficDirection } from '../gen/envoy/config/core/v3/base_pb.ts';
import { ListenerSchema } from '../gen/envoy/config/listener/v3/listener_pb.ts';
import { RouterSchema } from '../gen/envoy/extensions/filters/http/router/v3/router_pb.ts';
import {
  HttpConnectionManager_CodecType,
  HttpConnectionManagerSchema,
} from '../gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts';
import { HttpProtocolOptionsSchema } from '../gen/envoy/extensions/upstreams/http/v3/http_protocol_options_pb.ts';
import { pack, type Resource, resource } from '../resource.ts';
import { filterAccessLogs, listenerAccessLogs } from './access-logs.ts';
import type { ResourceBuilder } from './builder.ts';
import { millis, networkFilter, socketAddress } from './common.ts';
import { CONNECT_TIMEOUT_MS } from './options.ts';

/**
 * Paths of the application that are served in plain text: to whoever asks, or for checks of the agent to it and to
 * loopback alone.
 */
export const exposedPaths: ResourceBuilder = {
  inputs: ({ config }) => [config],
  build({ config: { exposed = [], listen, local, accessLogs } }) {
    if (listen === undefined || local === undefined) return [];
    const clusters = new Map(exposed.map((each) => [clusterOf(each), cluster(each, local.address)]));
    return [...clusters.values(), ...exposed.map((each) => listener(each, listen.address, accessLogs))];
  },
};

function clusterOf({ localPort, http2 }: ExposedPath): string {
  return `exposed_cluster_${localPort}${http2 ? '_http2' : ''}`;
}

const HTTP_OPTIONS = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';

function cluster(exposed: ExposedPath, address: string): Resource {
  const name = clusterOf(exposed);
  const where = { address: socketAddress(address, exposed.localPort) };
  const http2 = create(HttpProtocolOptionsSchema, {
    upstreamProtocolOptions: {
      case: 'explicitHttpConfig',
      value: { protocolConfig: { case: 'http2ProtocolOptions', value: {} } },
    },
  });
  const made = create(ClusterSchema, {
    name,
    clusterDiscoveryType: { case: 'type', value: Cluster_DiscoveryType.STATIC },
    connectTimeout: millis(CONNECT_TIMEOUT_MS),
    loadAssignment: {
      clusterName: name,
      endpoints: [{ lbEndpoints: [{ hostIdentifier: { case: 'endpoint', value: where } }] }],
    },
    ...(exposed.http2
      ? { typedExtensionProtocolOptions: { [HTTP_OPTIONS]: pack(HttpProtocolOptionsSchema, http2) } }
      : {}),
  });
  return resource('cluster', name, ClusterSchema, made);
}

function listener(exposed: ExposedPath, address: string, logs: AccessLogs | undefined): Resource {
  const { path, listenerPort, http2 } = exposed;
  const name = `exposed_path_${path.replace(/[^A-Za-z0-9]/g, '')}:${listenerPort}`;
  const route = {
    match: { pathSpecifier: { case: 'path', value: path } },
    action: { case: 'route', value: { clusterSpecifier: { case: 'cluster', value: clusterOf(exposed) } } },
  } as const;
  const manager = create(HttpConnectionManagerSchema, {
    statPrefix: name,
    accessLog: filterAccessLogs(logs),
    codecType: http2 ? HttpConnectionManager_CodecType.HTTP2 : HttpConnectionManager_CodecType.AUTO,
    routeSpecifier: {
      case: 'routeConfig',
      value: { name, virtualHosts: [{ name, domains: ['*'], routes: [route] }] },
    },
    httpFilters: [
      {
        name: 'envoy.filters.http.router',
        configType: { case: 'typedConfig', value: pack(RouterSchema, create(RouterSchema)) },
      },
    ],
  });
  const made = create(ListenerSchema, {
    name,
    address: socketAddress(address, listenerPort),
    trafficDirection: TrafficDirection.INBOUND,
    accessLog: listenerAccessLogs(logs),
    filterChains: [
      {
        name: 'exposed',
        ...(exposed.from === undefined ? {} : { filterChainMatch: { sourcePrefixRanges: ranges(exposed.from) } }),
        filters: [networkFilter('envoy.filters.network.http_connection_manager', HttpConnectionManagerSchema, manager)],
      },
    ],
  });
  return resource('listener', name, ListenerSchema, made);
}

function ranges(from: readonly string[]): { readonly addressPrefix: string; readonly prefixLen: number }[] {
  return [
    { addressPrefix: '127.0.0.0', prefixLen: 8 },
    { addressPrefix: '::1', prefixLen: 128 },
    ...from.map((address) => ({ addressPrefix: address, prefixLen: isIP(address) === 6 ? 128 : 32 })),
  ];
}
