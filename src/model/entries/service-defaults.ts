import type { ConfigEntry } from '../config-entry.ts';
import { validatePattern } from './http-match.ts';
import { type KindSpec, rejected, validateMeta } from './kind.ts';
import { oneOf, PROXY_FIELDS, type ProxyFields, validateGatewayMode, validateProxyFields } from './proxy-fields.ts';
import { COUNT, DURATION, type Field, type Fields, NAME, TEXT, TEXTS } from './schema.ts';

const SHOWN_COUNT: Field = { type: 'number', shown: true };

const PASSIVE_HEALTH_CHECK: Fields = {
  Interval: DURATION,
  MaxFailures: COUNT,
  EnforcingConsecutive5xx: SHOWN_COUNT,
  EnforcingConsecutiveGatewayFailure: COUNT,
  Consecutive5xx: COUNT,
  ConsecutiveGatewayFailure: COUNT,
  MaxEjectionPercent: SHOWN_COUNT,
  BaseEjectionTime: DURATION,
};

/** What the proxies of a service get to know about one upstream. */
const UPSTREAM: Fields = {
  EnvoyListenerJSON: TEXT,
  EnvoyClusterJSON: TEXT,
  Protocol: TEXT,
  ConnectTimeoutMs: COUNT,
  MeshGateway: { type: 'object', fields: { Mode: TEXT } },
  BalanceOutboundConnections: TEXT,
  Limits: {
    type: 'object',
    fields: {
      MaxConnections: COUNT,
      MaxPendingRequests: COUNT,
      MaxConcurrentRequests: COUNT,
      PassiveHealthCheck: { type: 'object', fields: PASSIVE_HEALTH_CHECK },
    },
  },
  PassiveHealthCheck: { type: 'object', fields: PASSIVE_HEALTH_CHECK },
};

const RATE_LIMIT: Fields = { RequestsPerSecond: COUNT, RequestsMaxBurst: COUNT };

interface RateLimitFields {
  readonly RequestsPerSecond?: number;
  readonly RequestsMaxBurst?: number;
}

interface RouteLimitFields extends RateLimitFields {
  readonly PathExact?: string;
  readonly PathPrefix?: string;
  readonly PathRegex?: string;
}

const CHECK_COUNTS = ['MaxFailures', 'Consecutive5xx', 'ConsecutiveGatewayFailure'] as const;
const CHECK_PERCENTS = ['MaxEjectionPercent', 'EnforcingConsecutive5xx', 'EnforcingConsecutiveGatewayFailure'] as const;
type CheckCount = (typeof CHECK_COUNTS)[number];
type CheckPercent = (typeof CHECK_PERCENTS)[number];

interface UpstreamFields {
  readonly Name?: string;
  readonly EnvoyListenerJSON?: string;
  readonly EnvoyClusterJSON?: string;
  readonly ConnectTimeoutMs?: number;
  readonly MeshGateway?: { readonly Mode?: string };
  readonly BalanceOutboundConnections?: string;
  readonly Limits?: Readonly<Record<string, unknown>>;
  readonly PassiveHealthCheck?: { readonly [Name in CheckCount | CheckPercent]?: number };
}

export interface ServiceDefaults extends ConfigEntry, ProxyFields {
  readonly Kind: 'service-defaults';
  readonly Protocol?: string;
  readonly ExternalSNI?: string;
  readonly BalanceInboundConnections?: string;
  readonly RateLimits?: {
    readonly InstanceLevel?: RateLimitFields & { readonly Routes?: readonly RouteLimitFields[] };
  };
  readonly UpstreamConfig?: { readonly Defaults?: UpstreamFields; readonly Overrides?: readonly UpstreamFields[] };
  readonly Destination?: { readonly Addresses?: readonly string[]; readonly Port?: number };
}

/** How a service is reached: its protocol, gateways, exposed paths; what its proxies do. */
export const serviceDefaults: KindSpec<ServiceDefaults> = {
  kind: 'service-defaults',
  fields: {
    Protocol: TEXT,
    ...PROXY_FIELDS,
    ExternalSNI: TEXT,
    UpstreamConfig: {
      type: 'object',
      fields: {
        Defaults: { type: 'object', fields: { Name: NAME, ...UPSTREAM } },
        Overrides: { type: 'list', of: { Name: NAME, ...UPSTREAM } },
      },
    },
    Destination: { type: 'object', fields: { Addresses: TEXTS, Port: COUNT } },
    MaxInboundConnections: COUNT,
    LocalConnectTimeoutMs: COUNT,
    LocalRequestTimeoutMs: COUNT,
    BalanceInboundConnections: TEXT,
    MaxRequestHeadersKB: COUNT,
    RateLimits: {
      type: 'object',
      fields: {
        InstanceLevel: {
          type: 'object',
          fields: {
            ...RATE_LIMIT,
            Routes: { type: 'list', of: { PathExact: TEXT, PathPrefix: TEXT, PathRegex: TEXT, ...RATE_LIMIT } },
          },
        },
      },
    },
  },
  normalise: (entry) => (entry.Protocol === undefined ? entry : { ...entry, Protocol: entry.Protocol.toLowerCase() }),
  validate(entry) {
    if (entry.Name === '') throw rejected('serviceName is required');
    validateMeta(entry.Meta);
    validateProxyFields(entry);
    for (const name of [
      'MaxInboundConnections',
      'LocalConnectTimeoutMs',
      'LocalRequestTimeoutMs',
      'MaxRequestHeadersKB',
    ])
      notNegative(name, entry[name]);
    oneOf('BalanceInboundConnections', entry.BalanceInboundConnections, ['', 'exact_balance']);
    const { Defaults, Overrides = [] } = entry.UpstreamConfig ?? {};
    if (Defaults?.Name !== undefined) throw rejected('error in upstream defaults: Name must be empty');
    if (Defaults !== undefined) validateUpstream(Defaults, 'upstream defaults');
    for (const override of Overrides) {
      if (override.Name === undefined || override.Name === '*')
        throw rejected('error in upstream override: Name is required, and is no wildcard');
      validateUpstream(override, `upstream override for ${override.Name}`);
    }
    if (entry.Destination !== undefined) validateDestination(entry.Destination);
    if (entry.RateLimits?.InstanceLevel !== undefined) validateRateLimits(entry.RateLimits.InstanceLevel);
  },
};

function validateUpstream(fields: UpstreamFields, where: string): void {
  for (const name of ['EnvoyListenerJSON', 'EnvoyClusterJSON'] as const)
    validateJson(fields[name], `${where}: ${name}`);
  notNegative(`${where}: ConnectTimeoutMs`, fields.ConnectTimeoutMs);
  validateGatewayMode(fields.MeshGateway?.Mode);
  oneOf(`${where}: BalanceOutboundConnections`, fields.BalanceOutboundConnections, ['', 'exact_balance']);
  for (const [name, limit] of Object.entries(fields.Limits ?? {})) notNegative(`${where}: Limits.${name}`, limit);
  for (const name of CHECK_COUNTS)
    notNegative(`${where}: PassiveHealthCheck.${name}`, fields.PassiveHealthCheck?.[name]);
  for (const name of CHECK_PERCENTS) {
    const percent = fields.PassiveHealthCheck?.[name] ?? 0;
    if (percent < 0 || percent > 100)
      throw rejected(`error in ${where}: PassiveHealthCheck.${name} is from 0 to 100, not ${percent}`);
  }
}

function validateJson(text: string | undefined, where: string): void {
  if (text === undefined) return;
  try {
    JSON.parse(text);
  } catch {
    throw rejected(`error in ${where} is not valid JSON`);
  }
}

function notNegative(name: string, value: unknown): void {
  if (typeof value === 'number' && value < 0) throw rejected(`${name} must be >= 0, not ${value}`);
}

function validateDestination({ Addresses = [], Port = 0 }: NonNullable<ServiceDefaults['Destination']>): void {
  if (Addresses.length === 0) throw rejected('Destination must contain at least one valid address');
  if (new Set(Addresses).size < Addresses.length) throw rejected('Destination address found duplicates');
  for (const address of Addresses) {
    if (address === '' || address.includes('*') || address.includes(':'))
      throw rejected(`Could not validate address ${JSON.stringify(address)}: it is an IPv4 address or a host name`);
  }
  if (Port < 1 || Port > 65_535) throw rejected('Invalid Port number: it is from 1 to 65535');
}

function validateRateLimits({
  Routes = [],
  ...all
}: RateLimitFields & { readonly Routes?: readonly RouteLimitFields[] }) {
  const where = 'RateLimits.InstanceLevel';
  validateLimit(all, where);
  for (const [at, route] of Routes.entries()) {
    const { PathExact, PathPrefix, PathRegex } = route;
    if ([PathExact, PathPrefix, PathRegex].filter((path) => path !== undefined).length !== 1)
      throw rejected(`${where}.Routes[${at}] must contain exactly one of PathExact, PathPrefix, or PathRegex`);
    validatePattern(PathRegex, `${where}.Routes[${at}] PathRegex`);
    validateLimit(route, `${where}.Routes[${at}]`);
  }
}

function validateLimit({ RequestsPerSecond = 0, RequestsMaxBurst = 0 }: RateLimitFields, where: string): void {
  notNegative(`${where}.RequestsPerSecond`, RequestsPerSecond);
  notNegative(`${where}.RequestsMaxBurst`, RequestsMaxBurst);
  if (RequestsPerSecond === 0 && RequestsMaxBurst > 0)
    throw rejected(`${where}.RequestsMaxBurst has no effect without RequestsPerSecond`);
}
