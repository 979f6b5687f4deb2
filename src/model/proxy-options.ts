import { tryParseDuration } from '../lib/duration.ts';

/**
 * What the opaque options (`config`) of proxies and of their upstreams say, as Consul documents them: the same for the
 * built-in sidecar and for Envoy. What they leave out is undefined.
 */
export type Options = Readonly<Record<string, unknown>>;

export interface UpstreamOptions {
  /** `protocol` */
  readonly protocol: string | undefined;
  /** `connect_timeout_ms` */
  readonly connectTimeoutMs: number | undefined;
  /** `limits.max_connections`; `max_connections` alone is the older spelling. */
  readonly maxConnections: number | undefined;
  /** `limits.max_pending_requests` */
  readonly maxPendingRequests: number | undefined;
  /** `limits.max_concurrent_requests` */
  readonly maxConcurrentRequests: number | undefined;
  readonly passiveHealthCheck: PassiveHealthCheck;
  /** `balance_outbound_connections` is `exact_balance`. */
  readonly balanced: boolean;
}

/** `passive_health_check` */
export interface PassiveHealthCheck {
  /** `max_failures`: consecutive ones that an instance is left out for. */
  readonly maxFailures: number | undefined;
  /** `interval`, milliseconds */
  readonly intervalMs: number | undefined;
  /** `base_ejection_time`, milliseconds */
  readonly baseEjectionMs: number | undefined;
  /** `consecutive_5xx`: consecutive answers of 500 and more; before `max_failures`. Envoys alone. */
  readonly consecutive5xx: number | undefined;
  /** `consecutive_gateway_failure`: of 502, 503 and 504. Envoys alone. */
  readonly consecutiveGatewayFailure: number | undefined;
  /** `enforcing_consecutive_gateway_failure`, percent; Envoy leaves no instance out unless it is given. */
  readonly enforcingGatewayFailure: number | undefined;
  /** `enforcing_consecutive_5xx`, percent */
  readonly enforcing: number | undefined;
  /** `max_ejection_percent` */
  readonly maxEjectionPercent: number | undefined;
}

export interface LocalOptions {
  /** `local_connect_timeout_ms` */
  readonly connectTimeoutMs: number | undefined;
  /** `max_inbound_connections` */
  readonly maxConnections: number | undefined;
  /** `local_request_timeout_ms`: until the whole answer is there; 0: for ever */
  readonly requestTimeoutMs: number | undefined;
  /** `balance_inbound_connections` is `exact_balance`. */
  readonly balanced: boolean;
  /** `max_request_headers_kb`, KiB; Envoys alone, whose own limit is 60. */
  readonly maxRequestHeadersKb: number | undefined;
  /** `local_idle_timeout_ms`: without a byte either way; 0: for ever */
  readonly idleTimeoutMs: number | undefined;
}

export function upstreamOptions(config: Options): UpstreamOptions {
  const limits = block(config.limits);
  const check = block(config.passive_health_check);
  return {
    protocol: protocolOf(config),
    connectTimeoutMs: positive(config, 'connect_timeout_ms'),
    maxConnections: positive(limits, 'max_connections') ?? positive(config, 'max_connections'),
    maxPendingRequests: positive(limits, 'max_pending_requests'),
    maxConcurrentRequests: positive(limits, 'max_concurrent_requests'),
    balanced: config.balance_outbound_connections === 'exact_balance',
    passiveHealthCheck: {
      maxFailures: positive(check, 'max_failures'),
      intervalMs: durationOf(check.interval),
      baseEjectionMs: durationOf(check.base_ejection_time),
      consecutive5xx: positive(check, 'consecutive_5xx'),
      consecutiveGatewayFailure: positive(check, 'consecutive_gateway_failure'),
      enforcingGatewayFailure: percent(check, 'enforcing_consecutive_gateway_failure'),
      enforcing: percent(check, 'enforcing_consecutive_5xx'),
      maxEjectionPercent: percent(check, 'max_ejection_percent'),
    },
  };
}

export function localOptions(config: Options): LocalOptions {
  return {
    connectTimeoutMs: positive(config, 'local_connect_timeout_ms'),
    maxConnections: positive(config, 'max_inbound_connections'),
    requestTimeoutMs: atLeastZero(config, 'local_request_timeout_ms'),
    balanced: config.balance_inbound_connections === 'exact_balance',
    maxRequestHeadersKb: positive(config, 'max_request_headers_kb'),
    idleTimeoutMs: atLeastZero(config, 'local_idle_timeout_ms'),
  };
}

function protocolOf({ protocol }: Options): string | undefined {
  return typeof protocol === 'string' && protocol !== '' ? protocol.toLowerCase() : undefined;
}

/** A positive number; anything else counts as not set. */
function positive(config: Options, key: string): number | undefined {
  const number = numberOf(config[key]);
  return number !== undefined && number > 0 ? number : undefined;
}

function atLeastZero(config: Options, key: string): number | undefined {
  const number = numberOf(config[key]);
  return number !== undefined && number >= 0 ? number : undefined;
}

function percent(config: Options, key: string): number | undefined {
  const number = numberOf(config[key]);
  return number !== undefined && number >= 0 && number <= 100 ? number : undefined;
}

function numberOf(value: unknown): number | undefined {
  const number = typeof value === 'string' && value !== '' ? Number(value) : value;
  return typeof number === 'number' && Number.isFinite(number) ? number : undefined;
}

/** An object, or a list of one, as blocks in HCL are written. */
function block(value: unknown): Options {
  const [first] = Array.isArray(value) ? (value as readonly unknown[]) : [value];
  return typeof first === 'object' && first !== null ? (first as Options) : {};
}

/** Milliseconds of "30s", or of a number of nanoseconds, as Consul reads durations. */
function durationOf(value: unknown): number | undefined {
  if (typeof value === 'number') return value > 0 ? value / 1e6 : undefined;
  const ms = typeof value === 'string' ? tryParseDuration(value) : undefined;
  return ms !== undefined && ms > 0 ? ms : undefined;
}
