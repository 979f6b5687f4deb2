import type { ConfigEntry } from '../../../model/config-entry.ts';
import type { Options } from '../../../model/proxy-options.ts';

/** What the `service-defaults` entry of a proxy's service says about its proxies, as options of a registration. */
export interface CentralConfig {
  /** Of the proxy. */
  readonly proxy: Options;
  /** Of an upstream, by the name of its destination. */
  upstream(name: string): Options;
}

export const NO_CENTRAL_CONFIG: CentralConfig = { proxy: {}, upstream: () => ({}) };

type Fields = Readonly<Record<string, unknown>>;

export function centralConfig(entry: ConfigEntry | undefined): CentralConfig {
  if (entry === undefined) return NO_CENTRAL_CONFIG;
  const fields = entry as unknown as Fields;
  const { Defaults, Overrides } = (fields.UpstreamConfig ?? {}) as {
    readonly Defaults?: Fields;
    readonly Overrides?: readonly Fields[];
  };
  return {
    proxy: given({
      max_inbound_connections: fields.MaxInboundConnections,
      local_connect_timeout_ms: fields.LocalConnectTimeoutMs,
    }),
    upstream(name) {
      const own = Overrides?.find((override) => override.Name === name);
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
        enforcing_consecutive_5xx: check.EnforcingConsecutive5xx,
        max_ejection_percent: check.MaxEjectionPercent,
      }),
  });
}

function given(options: Options): Options {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}
