import { isIP } from 'node:net';

/** What an Envoy is told at its start; everything else comes over xDS. */
export interface BootstrapOptions {
  readonly proxyId: string;
  /** Service that it stands for, as statistics and logs name it. */
  readonly cluster: string;
  readonly admin: { readonly address: string; readonly port: number; readonly accessLogPath: string };
  readonly agent: AgentAddress;
  /** A secret; absent without access control. */
  readonly token?: string;
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

/** The bootstrap as Envoy reads it. */
export function bootstrap({ proxyId, cluster, admin, agent, token }: BootstrapOptions): object {
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
    node: { id: proxyId, cluster, metadata: { namespace: 'default', partition: 'default' } },
    static_resources: { clusters: [agentCluster(agent)] },
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
