import { NORMALISED_BY_DEFAULT, type RequestNormalisation } from './normalise-request.ts';

/** The `mesh` entry: what holds for all proxies. */
export interface MeshEntry {
  readonly Kind: 'mesh';
  readonly AllowEnablingPermissiveMutualTLS?: boolean;
  readonly ValidateClusters?: boolean;
  readonly TLS?: { readonly Incoming?: MeshTlsFields; readonly Outgoing?: MeshTlsFields };
  readonly HTTP?: {
    readonly SanitizeXForwardedClientCert?: boolean;
    readonly Incoming?: {
      readonly RequestNormalization?: {
        readonly InsecureDisablePathNormalization?: boolean;
        readonly MergeSlashes?: boolean;
        readonly PathWithEscapedSlashesAction?: string;
        readonly HeadersWithUnderscoresAction?: string;
      };
    };
  };
  readonly Peering?: { readonly PeerThroughMeshGateways?: boolean };
}

export interface MeshTlsFields {
  readonly TLSMinVersion?: string;
  readonly TLSMaxVersion?: string;
  readonly CipherSuites?: readonly string[];
}

/** The same, compiled, with its defaults. */
export interface MeshSettings {
  readonly incoming: TlsLimits;
  readonly outgoing: TlsLimits;
  /** A caller's own X-Forwarded-Client-Cert is taken away, and none is set. */
  readonly sanitizeClientCert: boolean;
  readonly normalisation: RequestNormalisation;
  /** Routes to what does not exist are refused with their table, instead of each request with 404. */
  readonly validateClusters: boolean;
}

/** Absent: as the proxy has it, TLS 1.2 at least. */
export interface TlsLimits {
  readonly minVersion?: TlsVersion;
  readonly maxVersion?: TlsVersion;
  /** For TLS 1.2 and before, by their IANA names; empty: the proxy's own. */
  readonly cipherSuites: readonly string[];
}

export type TlsVersion = 'TLSv1_0' | 'TLSv1_1' | 'TLSv1_2' | 'TLSv1_3';

const VERSIONS: readonly string[] = ['TLSv1_0', 'TLSv1_1', 'TLSv1_2', 'TLSv1_3'] satisfies readonly TlsVersion[];

export function compileMesh(entry?: MeshEntry): MeshSettings {
  const { TLS, HTTP, ValidateClusters } = entry ?? {};
  return {
    incoming: limitsOf(TLS?.Incoming),
    outgoing: limitsOf(TLS?.Outgoing),
    sanitizeClientCert: HTTP?.SanitizeXForwardedClientCert === true,
    normalisation: normalisationOf(HTTP?.Incoming?.RequestNormalization ?? {}),
    validateClusters: ValidateClusters === true,
  };
}

function limitsOf({ TLSMinVersion, TLSMaxVersion, CipherSuites = [] }: MeshTlsFields = {}): TlsLimits {
  return {
    ...(isVersion(TLSMinVersion) ? { minVersion: TLSMinVersion } : {}),
    ...(isVersion(TLSMaxVersion) ? { maxVersion: TLSMaxVersion } : {}),
    cipherSuites: CipherSuites,
  };
}

function isVersion(text: string | undefined): text is TlsVersion {
  return text !== undefined && VERSIONS.includes(text);
}

type NormalizationFields = NonNullable<NonNullable<NonNullable<MeshEntry['HTTP']>['Incoming']>['RequestNormalization']>;

const ESCAPED_SLASHES: Readonly<Record<string, RequestNormalisation['escapedSlashes']>> = {
  REJECT_REQUEST: 'reject',
  UNESCAPE_AND_REDIRECT: 'redirect',
  UNESCAPE_AND_FORWARD: 'forward',
};
const UNDERSCORES: Readonly<Record<string, RequestNormalisation['underscores']>> = {
  REJECT_REQUEST: 'reject',
  DROP_HEADER: 'drop',
};

function normalisationOf(fields: NormalizationFields): RequestNormalisation {
  const { escapedSlashes, underscores } = NORMALISED_BY_DEFAULT;
  return {
    path: fields.InsecureDisablePathNormalization !== true,
    mergeSlashes: fields.MergeSlashes === true,
    escapedSlashes: ESCAPED_SLASHES[fields.PathWithEscapedSlashesAction ?? ''] ?? escapedSlashes,
    underscores: UNDERSCORES[fields.HeadersWithUnderscoresAction ?? ''] ?? underscores,
  };
}

/**
 * Of a suite that the entry names by IANA: `TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256` is `ECDHE-RSA-AES128-GCM-SHA256`.
 */
export function opensslName(iana: string): string {
  return iana
    .replace(/^TLS_/, '')
    .replace('_WITH_', '-')
    .replace(/AES_(128|256)_(CBC_)?/, 'AES$1-')
    .replace(/(CHACHA20_POLY1305)_SHA256$/, '$1')
    .replace('CHACHA20_POLY1305', 'CHACHA20-POLY1305')
    .replaceAll('_', '-');
}
