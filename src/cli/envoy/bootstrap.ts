import { isIP } from 'node:net';
import { IsthmusError } from '../../lib/errors.ts';
import { SEPARATES_CALLERS } from '../../model/envoy.ts';
import type { Options } from '../../model/proxy-options.ts';
import { objectOf, objectsOf, textOf, wrong } from './keys.ts';
import { type MetricsOptions, metricsResources } from './metrics-listeners.ts';
import { statsConfig, statsSinks } from './stats.ts';
import { fillTemplate } from './template.ts';

/** What an Envoy is configured with at its start; everything else comes over xDS. */
export interface BootstrapOptions {
  readonly proxyId: string;
  /** Service that it stands for, as statistics and logs name it. */
  readonly service: string;
  readonly datacenter: string;
  readonly admin: { readonly address: string; readonly port: number; readonly accessLogPath: string };
  readonly agent: AgentAddress;
  /** A secret; absent without access control. */
  readonly token?: string;
  /** Opaque options of the proxy, with those of proxy-defaults. */
  readonly config: Options;
  readonly metrics: Omit<MetricsOptions, 'admin'>;
  /** Leave out the names that tags had before Consul 1.9. */
  readonly omitDeprecatedTags: boolean;
  /** The Envoy can keep connections apart by who calls. */
  readonly separatesCallers: boolean;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Where the agent serves xDS. */
export type AgentAddress =
  | { readonly kind: 'unix'; readonly path: string }
  | {
      readonly kind: 'tcp';
      readonly host: string;
      readonly port: number;
      /** Over TLS: PEM texts of the authorities; '' trusts those of the system. */
      readonly caPem?: string;
    };

const HTTP2 = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';
const TLS = 'envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext';
const AGENT = 'local_agent';
const INTERNAL_LISTENERS = {
  name: 'envoy.bootstrap.internal_listener',
  typed_config: {
    '@type': 'type.googleapis.com/envoy.extensions.bootstrap.internal_listener.v3.InternalListener',
  },
};

/** The parts that Consul's options add to, as a template names them too. */
interface Parts {
  readonly clusters: readonly object[];
  readonly listeners: readonly object[];
  readonly sinks: readonly object[];
  readonly stats: object;
  readonly flushInterval: string;
  readonly tracing: object | undefined;
}

/** The bootstrap as Envoy reads it. */
export function bootstrap(options: BootstrapOptions): object {
  const { config, env, service, datacenter, omitDeprecatedTags } = options;
  const metrics = metricsResources(config, { ...options.metrics, admin: options.admin });
  const parts: Parts = {
    clusters: [...metrics.clusters, ...objectsOf(config, 'envoy_extra_static_clusters_json')],
    listeners: [...metrics.listeners, ...objectsOf(config, 'envoy_extra_static_listeners_json')],
    sinks: statsSinks(config, env),
    stats: statsConfig(config, { service, cluster: service, datacenter }, omitDeprecatedTags),
    flushInterval: flushInterval(config),
    tracing: objectOf(config, 'envoy_tracing_json'),
  };
  const template = textOf(config, 'envoy_bootstrap_json_tpl');
  return template === '' ? usual(options, parts) : fromTemplate(template, options, parts);
}

function usual(options: BootstrapOptions, parts: Parts): object {
  const { proxyId, service, admin, agent, token, separatesCallers } = options;
  // Without an end Envoy starts empty when the agent is slow, and refuses what it can't know yet.
  const overAds = { ads: {}, resource_api_version: 'V3', initial_fetch_timeout: '0s' };
  return {
    admin: {
      access_log: [
        {
          name: 'envoy.access_loggers.file',
          typed_config: {
            '@type': 'type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog',
            path: admin.accessLogPath,
          },
        },
      ],
      address: { socket_address: { address: admin.address, port_value: admin.port } },
    },
    node: {
      id: proxyId,
      cluster: service,
      metadata: {
        namespace: 'default',
        partition: 'default',
        ...(separatesCallers ? { [SEPARATES_CALLERS]: true } : {}),
      },
    },
    ...(separatesCallers ? { bootstrap_extensions: [INTERNAL_LISTENERS] } : {}),
    layered_runtime: {
      layers: [{ name: 'base', static_layer: { 're2.max_program_size.error_level': MAX_PROGRAM_SIZE } }],
    },
    static_resources: {
      clusters: [agentCluster(agent), ...parts.clusters],
      ...(parts.listeners.length === 0 ? {} : { listeners: parts.listeners }),
    },
    stats_config: parts.stats,
    ...(parts.sinks.length === 0 ? {} : { stats_sinks: parts.sinks }),
    ...(parts.flushInterval === '' ? {} : { stats_flush_interval: parts.flushInterval }),
    ...(parts.tracing === undefined ? {} : { tracing: parts.tracing }),
    dynamic_resources: {
      lds_config: overAds,
      cds_config: overAds,
      ads_config: {
        api_type: 'DELTA_GRPC',
        transport_api_version: 'V3',
        set_node_on_first_message_only: true,
        grpc_services: [
          {
            envoy_grpc: { cluster_name: AGENT },
            ...(token === undefined ? {} : { initial_metadata: [{ key: 'x-consul-token', value: token }] }),
          },
        ],
      },
    },
  };
}

/** Rules with many sources make long expressions; Envoy's own limit of 100 would refuse them. */
const MAX_PROGRAM_SIZE = 1_048_576;

/** With the names that Consul's templates use. */
function fromTemplate(template: string, options: BootstrapOptions, parts: Parts): object {
  const { proxyId, service, datacenter, admin, agent, token, metrics } = options;
  const tcp = agent.kind === 'tcp' ? agent : undefined;
  const list = (objects: readonly object[]): string => objects.map((each) => JSON.stringify(each)).join(',\n');
  const text = fillTemplate(template, {
    GRPC: {
      AgentAddress: tcp?.host ?? '',
      AgentPort: tcp === undefined ? '' : String(tcp.port),
      AgentSocket: agent.kind === 'unix' ? agent.path : '',
      AgentTLS: tcp?.caPem !== undefined,
    },
    ProxyCluster: service,
    ProxyID: proxyId,
    ProxySourceService: service,
    NodeName: '',
    AgentCAPEM: (tcp?.caPem ?? '').replaceAll('\n', '\\n'),
    AdminAccessLogPath: admin.accessLogPath,
    AdminBindAddress: admin.address,
    AdminBindPort: String(admin.port),
    LocalAgentClusterName: AGENT,
    Token: token ?? '',
    StaticClustersJSON: list(parts.clusters),
    StaticListenersJSON: list(parts.listeners),
    StaticSecretsJSON: '',
    StatsSinksJSON: parts.sinks.length === 0 ? '' : `[${list(parts.sinks)}]`,
    StatsConfigJSON: JSON.stringify(parts.stats),
    StatsFlushInterval: parts.flushInterval,
    TracingConfigJSON: parts.tracing === undefined ? '' : JSON.stringify(parts.tracing),
    Namespace: 'default',
    Partition: 'default',
    Datacenter: datacenter,
    PrometheusBackendPort: metrics.backendPort === undefined ? '' : String(metrics.backendPort),
    PrometheusScrapePath: metrics.scrapePath,
  });
  try {
    return JSON.parse(text) as object;
  } catch {
    // Without the parser's text, which would quote what stands there: the token may be in it.
    throw new IsthmusError('invalid_argument', 'envoy_bootstrap_json_tpl: what was made of the template is no JSON');
  }
}

function flushInterval(config: Options): string {
  const text = textOf(config, 'envoy_stats_flush_interval');
  if (text === '' || /^\d+(?:\.\d{1,9})?s$/.test(text)) return text;
  throw wrong('envoy_stats_flush_interval', `must be seconds such as 1.5s, and is ${JSON.stringify(text)}`);
}

function agentCluster(agent: AgentAddress): object {
  const address =
    agent.kind === 'unix'
      ? { pipe: { path: agent.path } }
      : { socket_address: { address: agent.host, port_value: agent.port } };
  const named = agent.kind === 'tcp' && isIP(agent.host) === 0;
  return {
    name: AGENT,
    connect_timeout: '1s',
    type: named ? 'STRICT_DNS' : 'STATIC',
    ...(agent.kind === 'tcp' && agent.caPem !== undefined ? { transport_socket: agentTls(agent.caPem) } : {}),
    typed_extension_protocol_options: {
      [HTTP2]: {
        '@type': `type.googleapis.com/${HTTP2}`,
        // An agent that is gone without a word is found.
        explicit_http_config: {
          http2_protocol_options: { connection_keepalive: { interval: '30s', timeout: '5s' } },
        },
      },
    },
    load_assignment: { cluster_name: AGENT, endpoints: [{ lb_endpoints: [{ endpoint: { address } }] }] },
  };
}

function agentTls(caPem: string): object {
  return {
    name: 'envoy.transport_sockets.tls',
    typed_config: {
      '@type': `type.googleapis.com/${TLS}`,
      common_tls_context: {
        alpn_protocols: ['h2'],
        validation_context: caPem === '' ? { system_root_certs: {} } : { trusted_ca: { inline_string: caPem } },
      },
    },
  };
}
