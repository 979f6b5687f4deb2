import { parseDuration } from '../../lib/duration.ts';

/** A `jwt-provider` entry: who issues tokens, and how they are verified. */
export interface JwtProviderEntry {
  readonly Kind: 'jwt-provider';
  readonly Name: string;
  readonly Issuer?: string;
  readonly Audiences?: readonly string[];
  readonly JSONWebKeySet?: { readonly Local?: LocalKeysFields; readonly Remote?: RemoteKeysFields };
  readonly Locations?: readonly TokenLocationFields[];
  readonly Forwarding?: { readonly HeaderName?: string; readonly PadForwardPayloadHeader?: boolean };
  readonly ClockSkewSeconds?: number;
  readonly CacheConfig?: { readonly Size?: number };
}

export interface LocalKeysFields {
  /** In base64. */
  readonly JWKS?: string;
  readonly Filename?: string;
}

export interface RemoteKeysFields {
  readonly URI?: string;
  readonly RequestTimeoutMs?: number;
  readonly CacheDuration?: string;
  readonly FetchAsynchronously?: boolean;
  readonly UseSNI?: boolean;
  readonly RetryPolicy?: {
    readonly NumRetries?: number;
    readonly RetryPolicyBackOff?: { readonly BaseInterval?: string; readonly MaxInterval?: string };
  };
  readonly JWKSCluster?: {
    readonly DiscoveryType?: string;
    readonly ConnectTimeout?: string;
    readonly TLSCertificates?: {
      readonly TrustedCA?: {
        readonly Filename?: string;
        readonly EnvironmentVariable?: string;
        readonly InlineString?: string;
        readonly InlineBytes?: string;
      };
    };
  };
}

export interface TokenLocationFields {
  readonly Header?: { readonly Name?: string; readonly ValuePrefix?: string; readonly Forward?: boolean };
  readonly QueryParam?: { readonly Name?: string };
  readonly Cookie?: { readonly Name?: string };
}

/** The same, compiled, with its defaults. */
export interface JwtProvider {
  readonly name: string;
  /** Of the token; '' is not looked at. */
  readonly issuer: string;
  /** The token must be for one of these; empty: for anyone. */
  readonly audiences: readonly string[];
  readonly keys: JwtKeys;
  /** In order. */
  readonly locations: readonly TokenLocation[];
  /** The token's header is sent on to the service. */
  readonly forward: boolean;
  /** The verified payload is sent to the service in this header, base64url. */
  readonly payloadHeader?: { readonly name: string; readonly padded: boolean };
  readonly clockSkewSeconds: number;
  /** Tokens whose verification is remembered; 0: none. */
  readonly cacheSize: number;
}

export type JwtKeys =
  /** A key set, JSON. */
  | { readonly type: 'inline'; readonly keySet: string }
  /** On the disk of each proxy. */
  | { readonly type: 'file'; readonly path: string }
  | {
      readonly type: 'remote';
      readonly uri: string;
      readonly timeoutMs: number;
      readonly cacheMs: number;
      /** Fetched before the first request; otherwise the listener waits for it. */
      readonly asynchronously: boolean;
      readonly retries: number;
      readonly backoffMs?: { readonly base: number; readonly max: number };
      readonly connectTimeoutMs: number;
      readonly discovery: string;
      /** PEM, or where it is; absent: the system's authorities. */
      readonly trusted?: { readonly pem: string } | { readonly file: string } | { readonly variable: string };
    };

/** `prefix` precedes the token in the header's value. */
export type TokenLocation =
  | { readonly type: 'header'; readonly name: string; readonly prefix: string }
  | { readonly type: 'query' | 'cookie'; readonly name: string };

const DEFAULT_SKEW_SECONDS = 30;
const DEFAULT_TIMEOUT_MS = 1_000;
const DEFAULT_CACHE_MS = 600_000;
const DEFAULT_CONNECT_TIMEOUT_MS = 5_000;
const DEFAULT_BACKOFF_MS = 1_000;
/** As Envoy looks where nothing is said. */
const DEFAULT_LOCATIONS: readonly TokenLocation[] = [
  { type: 'header', name: 'authorization', prefix: 'Bearer ' },
  { type: 'query', name: 'access_token' },
];

/** Of an entry that was validated. */
export function compileJwtProvider(entry: JwtProviderEntry): JwtProvider {
  const { Locations = [], Forwarding } = entry;
  return {
    name: entry.Name,
    issuer: entry.Issuer ?? '',
    audiences: entry.Audiences ?? [],
    keys: keysOf(entry),
    locations: Locations.length === 0 ? DEFAULT_LOCATIONS : Locations.map(locationOf),
    forward: Locations.some(({ Header }) => Header?.Forward === true),
    ...(Forwarding?.HeaderName === undefined
      ? {}
      : {
          payloadHeader: {
            name: Forwarding.HeaderName.toLowerCase(),
            padded: Forwarding.PadForwardPayloadHeader === true,
          },
        }),
    clockSkewSeconds: entry.ClockSkewSeconds || DEFAULT_SKEW_SECONDS,
    cacheSize: entry.CacheConfig?.Size ?? 0,
  };
}

function keysOf({ JSONWebKeySet: { Local, Remote } = {} }: JwtProviderEntry): JwtKeys {
  if (Local?.Filename !== undefined) return { type: 'file', path: Local.Filename };
  if (Remote === undefined) return { type: 'inline', keySet: textOfBase64(Local?.JWKS ?? '') };
  const { RetryPolicy, JWKSCluster } = Remote;
  const backoff = RetryPolicy?.RetryPolicyBackOff;
  const base = msOf(backoff?.BaseInterval, DEFAULT_BACKOFF_MS);
  const trusted = trustedOf(Remote);
  return {
    type: 'remote',
    uri: Remote.URI ?? '',
    timeoutMs: Remote.RequestTimeoutMs || DEFAULT_TIMEOUT_MS,
    cacheMs: msOf(Remote.CacheDuration, DEFAULT_CACHE_MS),
    asynchronously: Remote.FetchAsynchronously === true,
    retries: RetryPolicy?.NumRetries ?? 0,
    ...(backoff === undefined ? {} : { backoffMs: { base, max: msOf(backoff.MaxInterval, base * 10) } }),
    connectTimeoutMs: msOf(JWKSCluster?.ConnectTimeout, DEFAULT_CONNECT_TIMEOUT_MS),
    discovery: JWKSCluster?.DiscoveryType ?? 'STRICT_DNS',
    ...(trusted === undefined ? {} : { trusted }),
  };
}

function trustedOf({ JWKSCluster }: RemoteKeysFields): (JwtKeys & { type: 'remote' })['trusted'] {
  const { Filename, EnvironmentVariable, InlineString, InlineBytes } = JWKSCluster?.TLSCertificates?.TrustedCA ?? {};
  if (Filename !== undefined) return { file: Filename };
  if (EnvironmentVariable !== undefined) return { variable: EnvironmentVariable };
  if (InlineString !== undefined) return { pem: InlineString };
  return InlineBytes === undefined ? undefined : { pem: textOfBase64(InlineBytes) };
}

function locationOf({ Header, QueryParam, Cookie }: TokenLocationFields): TokenLocation {
  if (Header !== undefined)
    return { type: 'header', name: (Header.Name ?? '').toLowerCase(), prefix: Header.ValuePrefix ?? '' };
  if (QueryParam !== undefined) return { type: 'query', name: QueryParam.Name ?? '' };
  return { type: 'cookie', name: Cookie?.Name ?? '' };
}

function msOf(text: string | undefined, otherwise: number): number {
  return text === undefined ? otherwise : parseDuration(text);
}

/** Text in base64 as UTF-8. */
function textOfBase64(base64: string): string {
  return new TextDecoder().decode(Uint8Array.from(atob(base64), (char) => char.charCodeAt(0)));
}
