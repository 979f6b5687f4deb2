import type { BootstrapKey } from '../../model/proxy-keys.ts';
import type { Options } from '../../model/proxy-options.ts';
import { type HostPort, hostPort } from '../commands/proxy-options.ts';
import { textOf, wrong } from './keys.ts';

/** What of Envoy's administration others may read: each path at an address of its own, and nothing else there. */
export interface MetricsOptions {
  readonly admin: HostPort;
  /** Path at which Prometheus asks. */
  readonly scrapePath: string;
  /** The application's own collector is asked instead of Envoy, where it merges both. */
  readonly backendPort?: number;
  readonly tls?: MetricsTls;
  /** Where `/ready` is served. */
  readonly ready?: HostPort;
}

/** Files of the listener for Prometheus; its clients must show a certificate. */
export interface MetricsTls {
  /** PEM texts of the authorities of clients. */
  readonly caPem: string;
  readonly certFile: string;
  readonly keyFile: string;
}

interface Served {
  readonly name: string;
  readonly at: HostPort;
  readonly match: object;
  readonly rewrite: string;
  readonly cluster: string;
  readonly tls?: MetricsTls;
}

const ADMIN = 'self_admin';
const BACKEND = 'prometheus_backend';
const TYPE = 'type.googleapis.com/envoy.extensions';

export function metricsResources(
  config: Options,
  { admin, scrapePath, backendPort, tls, ready }: MetricsOptions,
): { readonly clusters: readonly object[]; readonly listeners: readonly object[] } {
  const prometheus = boundAt(config, 'envoy_prometheus_bind_addr');
  const stats = boundAt(config, 'envoy_stats_bind_addr');
  const cluster = backendPort === undefined ? ADMIN : BACKEND;
  const served: readonly Served[] = [
    ...(prometheus === undefined
      ? []
      : [
          {
            name: 'envoy_prometheus_metrics',
            at: prometheus,
            match: { path: scrapePath },
            rewrite: '/stats/prometheus',
            cluster,
            ...(tls === undefined ? {} : { tls }),
          },
        ]),
    ...(stats === undefined
      ? []
      : [{ name: 'envoy_metrics', at: stats, match: { prefix: '/stats' }, rewrite: '/stats', cluster: ADMIN }]),
    ...(ready === undefined
      ? []
      : [{ name: 'envoy_ready', at: ready, match: { path: '/ready' }, rewrite: '/ready', cluster: ADMIN }]),
  ];
  const addresses = new Map([
    [ADMIN, admin],
    [BACKEND, { address: '127.0.0.1', port: backendPort ?? 0 }],
  ]);
  const clusters = [...addresses].filter(([name]) => served.some((each) => each.cluster === name));
  return { clusters: clusters.map(([name, at]) => localCluster(name, at)), listeners: served.map(listener) };
}

function boundAt(config: Options, key: BootstrapKey): HostPort | undefined {
  const text = textOf(config, key);
  if (text === '') return undefined;
  try {
    return hostPort(text, key);
  } catch {
    throw wrong(key, `must be ADDRESS:PORT, and is ${JSON.stringify(text)}`);
  }
}

function socketAddress({ address, port }: HostPort): object {
  return { socket_address: { address: address === 'localhost' ? '127.0.0.1' : address, port_value: port } };
}

function localCluster(name: string, at: HostPort): object {
  return {
    name,
    connect_timeout: '5s',
    type: 'STATIC',
    load_assignment: {
      cluster_name: name,
      endpoints: [{ lb_endpoints: [{ endpoint: { address: socketAddress(at) } }] }],
    },
  };
}

function listener({ name, at, match, rewrite, cluster, tls }: Served): object {
  const routes = [
    { match, route: { cluster, prefix_rewrite: rewrite } },
    { match: { prefix: '/' }, direct_response: { status: 404 } },
  ];
  return {
    name: `${name}_listener`,
    address: socketAddress(at),
    filter_chains: [
      {
        ...(tls === undefined ? {} : { transport_socket: mutualTls(tls) }),
        filters: [
          {
            name: 'envoy.filters.network.http_connection_manager',
            typed_config: {
              '@type': `${TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
              stat_prefix: name,
              codec_type: 'HTTP1',
              route_config: {
                name: `${name}_route`,
                virtual_hosts: [{ name: cluster, domains: ['*'], routes }],
              },
              http_filters: [
                {
                  name: 'envoy.filters.http.router',
                  typed_config: { '@type': `${TYPE}.filters.http.router.v3.Router` },
                },
              ],
            },
          },
        ],
      },
    ],
  };
}

function mutualTls({ caPem, certFile, keyFile }: MetricsTls): object {
  return {
    name: 'envoy.transport_sockets.tls',
    typed_config: {
      '@type': `${TYPE}.transport_sockets.tls.v3.DownstreamTlsContext`,
      require_client_certificate: true,
      common_tls_context: {
        tls_certificates: [{ certificate_chain: { filename: certFile }, private_key: { filename: keyFile } }],
        validation_context: { trusted_ca: { inline_string: caPem } },
      },
    },
  };
}
