import { parseDuration } from '../../lib/duration.ts';
import type { ConfigEntry } from '../config-entry.ts';
import {
  compileJwtProvider,
  type JwtProviderEntry,
  type RemoteKeysFields,
  type TokenLocationFields,
} from '../layer7/jwt-provider.ts';
import { type KindSpec, rejected, requireName, validateMeta } from './kind.ts';
import { oneOf } from './proxy-fields.ts';
import { COUNT, DURATION, type Field, FLAG, TEXT, TEXTS } from './schema.ts';

const NAMED: Field = { type: 'object', fields: { Name: TEXT } };

/** Who issues the tokens that requests may be asked for. */
export const jwtProvider: KindSpec<JwtProviderEntry & ConfigEntry> = {
  kind: 'jwt-provider',
  fields: {
    JSONWebKeySet: {
      type: 'object',
      fields: {
        Local: { type: 'object', fields: { JWKS: TEXT, Filename: TEXT } },
        Remote: {
          type: 'object',
          fields: {
            URI: TEXT,
            RequestTimeoutMs: COUNT,
            CacheDuration: DURATION,
            FetchAsynchronously: FLAG,
            UseSNI: FLAG,
            RetryPolicy: {
              type: 'object',
              fields: {
                NumRetries: COUNT,
                RetryPolicyBackOff: { type: 'object', fields: { BaseInterval: DURATION, MaxInterval: DURATION } },
              },
            },
            JWKSCluster: {
              type: 'object',
              fields: {
                DiscoveryType: TEXT,
                ConnectTimeout: DURATION,
                TLSCertificates: {
                  type: 'object',
                  fields: {
                    CaCertificateProviderInstance: {
                      type: 'refused',
                      because: 'proxies have no certificate providers of their own: give TrustedCA',
                    },
                    TrustedCA: {
                      type: 'object',
                      fields: { Filename: TEXT, EnvironmentVariable: TEXT, InlineString: TEXT, InlineBytes: TEXT },
                    },
                  },
                },
              },
            },
          },
        },
      },
    },
    Issuer: TEXT,
    Audiences: TEXTS,
    Locations: {
      type: 'list',
      of: {
        Header: { type: 'object', fields: { Name: TEXT, ValuePrefix: TEXT, Forward: FLAG } },
        QueryParam: NAMED,
        Cookie: NAMED,
      },
    },
    Forwarding: { type: 'object', fields: { HeaderName: TEXT, PadForwardPayloadHeader: FLAG } },
    ClockSkewSeconds: COUNT,
    CacheConfig: { type: 'object', fields: { Size: COUNT } },
  },
  normalise: (entry) => entry,
  validate(entry) {
    requireName(entry);
    validateMeta(entry.Meta);
    if (entry.JSONWebKeySet === undefined) throw rejected('JSONWebKeySet is required');
    const { Local, Remote } = entry.JSONWebKeySet;
    if ((Local === undefined) === (Remote === undefined))
      throw rejected('must specify exactly one of Local or Remote JSON Web key set');
    if (Local !== undefined && (Local.JWKS === undefined) === (Local.Filename === undefined))
      throw rejected('must specify exactly one of String or filename for local keyset');
    if (Local?.JWKS !== undefined) validateKeySet(entry);
    if (Remote !== undefined) validateRemote(Remote);
    for (const location of entry.Locations ?? []) validateLocation(location);
    if (entry.Forwarding !== undefined && entry.Forwarding.HeaderName === undefined)
      throw rejected('Header name required for forwarding config');
    for (const [name, value] of Object.entries({
      ClockSkewSeconds: entry.ClockSkewSeconds,
      'CacheConfig.Size': entry.CacheConfig?.Size,
    }))
      if (value !== undefined && value < 0) throw rejected(`${name} must be >= 0, not ${value}`);
  },
};

function validateKeySet(entry: JwtProviderEntry): void {
  if (!/^[A-Za-z0-9+/\s]*={0,2}\s*$/.test(entry.JSONWebKeySet?.Local?.JWKS ?? ''))
    throw rejected('JWKS must be valid base64 encoded string');
  try {
    const keys = compileJwtProvider(entry).keys;
    const parsed = JSON.parse(keys.type === 'inline' ? keys.keySet : '') as { readonly keys?: unknown };
    if (Array.isArray(parsed.keys)) return;
  } catch {
    // said below
  }
  throw rejected('JWKS must be a key set: {"keys": [...]}, in base64');
}

function validateRemote(remote: RemoteKeysFields): void {
  const { URI = '', RequestTimeoutMs = 0, RetryPolicy, JWKSCluster } = remote;
  if (URI === '') throw rejected('Remote JWKS URI is required');
  const url = URL.canParse(URI) ? new URL(URI) : undefined;
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:')
    throw rejected(`Remote JWKS URI is invalid: it must be an http or https URL, uri: ${URI}`);
  if (RequestTimeoutMs < 0 || (RetryPolicy?.NumRetries ?? 0) < 0)
    throw rejected('RequestTimeoutMs and NumRetries must be >= 0');
  const { BaseInterval, MaxInterval } = RetryPolicy?.RetryPolicyBackOff ?? {};
  if (
    MaxInterval !== undefined &&
    BaseInterval !== undefined &&
    parseDuration(BaseInterval) > parseDuration(MaxInterval)
  )
    throw rejected("retry policy backoff's MaxInterval should be greater or equal to BaseInterval");
  oneOf('jwks cluster discovery type', JWKSCluster?.DiscoveryType, [
    'STRICT_DNS',
    'STATIC',
    'LOGICAL_DNS',
    'EDS',
    'ORIGINAL_DST',
  ]);
  const trusted = JWKSCluster?.TLSCertificates;
  if (trusted !== undefined && Object.keys(trusted.TrustedCA ?? {}).length !== 1)
    throw rejected(
      "must specify exactly one of: Filename, EnvironmentVariable, InlineString or InlineBytes for JWKS' TrustedCA",
    );
}

function validateLocation({ Header, QueryParam, Cookie }: TokenLocationFields): void {
  if ([Header, QueryParam, Cookie].filter((each) => each !== undefined).length !== 1)
    throw rejected('must set exactly one of: JWT location header, query param or cookie');
  for (const [what, place] of Object.entries({ header: Header, 'query param': QueryParam, cookie: Cookie }))
    if (place !== undefined && place.Name === undefined) throw rejected(`JWT location ${what} name must be specified`);
}
