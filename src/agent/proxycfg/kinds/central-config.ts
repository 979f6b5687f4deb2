import type { AccessLogs } from '../../../model/access-logs.ts';
import type { Options } from '../../../model/proxy-options.ts';
import type { CentralEntries } from './central-entries.ts';

/**
 * What entries say about the proxies of a service, as options of a registration, which goes before them.
 * `service-defaults` goes before `proxy-defaults`, and in it an upstream's own override before the defaults of all, key
 * by key.
 */
export interface CentralConfig {
  /** Of the proxy. */
  readonly proxy: Options;
  /** Of an upstream, by the name of its destination. */
  upstream(name: string): Options;
  /** `Expose` of the service's defaults, then of those of all proxies. */
  readonly expose: readonly (Fields | undefined)[];
  /** Absent: none are written. */
  readonly accessLogs?: AccessLogs;
}

type Fields = Readonly<Record<string, unknown>>;

export function centralConfig({ proxies, service }: Partial<CentralEntries> = {}): CentralConfig {
  const fields: Fields = service ?? {};
  const { Defaults, Overrides } = (fields.UpstreamConfig ?? {}) as {
    readonly Defaults?: Fields;
    readonly Overrides?: readonly Fields[];
  };
  const logs = proxies?.AccessLogs as AccessLogs | undefined;
  return {
    expose: [fields.Expose as Fields | undefined, proxies?.Expose as Fields | undefined],
    ...(logs?.Enabled === true ? { accessLogs: logs } : {}),
    proxy: {
      ...(proxies?.Config as Options | undefined),
      ...given({
        protocol: fields.Protocol,
        max_inbound_connections: fields.MaxInboundConnections,
        local_connect_timeout_ms: fields.LocalConnectTimeoutMs,
        local_request_timeout_ms: fields.LocalRequestTimeoutMs,
        balance_inbound_connections: fields.BalanceInboundConnections,
        max_request_headers_kb: fields.MaxRequestHeadersKB,
      }),
    },
    upstream(name) {
      const own = Overrides?.find((override) => override.Name === name.toLowerCase());
      return { ...upstreamOptions(Defaults), ...upstreamOptions(own) };
    },
  };
}

function upstreamOptions(fields: Fields | undefined): Options {
  if (fields === undefined) return {};
  const limits = fields.Limits as Fields | undefined;
  const check = fields.PassiveHealthCheck as Fields | undefined;
  return given({
    connect_timeout_ms: fields.ConnectTimeoutMs,
    protocol: fields.Protocol,
    envoy_listener_json: fields.EnvoyListenerJSON,
    envoy_cluster_json: fields.EnvoyClusterJSON,
    balance_outbound_connections: fields.BalanceOutboundConnections,
    limits:
      limits &&
      given({
        max_connections: limits.MaxConnections,
        max_pending_requests: limits.MaxPendingRequests,
        max_concurrent_requests: limits.MaxConcurrentRequests,
      }),
    passive_health_check:
      check &&
      given({
        interval: check.Interval,
        max_failures: check.MaxFailures,
        base_ejection_time: check.BaseEjectionTime,
        consecutive_5xx: check.Consecutive5xx,
        enforcing_consecutive_5xx: check.EnforcingConsecutive5xx,
        consecutive_gateway_failure: check.ConsecutiveGatewayFailure,
        enforcing_consecutive_gateway_failure: check.EnforcingConsecutiveGatewayFailure,
        max_ejection_percent: check.MaxEjectionPercent,
      }),
  });
}

function given(options: Options): Options {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}
