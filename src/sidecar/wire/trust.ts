import { constants } from 'node:crypto';
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls';
import { invariant } from '../../lib/errors.ts';
import { type MeshSettings, opensslName, type TlsLimits } from '../../model/layer7/mesh-settings.ts';
import type { SidecarLeaf, SidecarRoots } from '../../model/sidecar.ts';
import { type Certificate, parseCertificate } from '../../pki/certificate.ts';

/** What handshakes use from one change to the next. Immutable. */
export interface Trust {
  readonly trustDomain: string;
  readonly roots: readonly Certificate[];
  /** Certificate and key to present, roots to verify against, of connections that come in. */
  readonly options: SecureContextOptions;
  /** The same, made ready for dialling. */
  readonly dialling: SecureContext;
  readonly leafPem: string;
  readonly leafNotAfter: number;
  /** The own identity. */
  readonly leafUri: string;
}

/**
 * No session is ever resumed: a resumed one would skip the check of the other side's certificate and so outlive a
 * change of roots or leaf. Nor is one renegotiated (TLS 1.2), which could change who is at the other end.
 */
const SECURE_OPTIONS = constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION;

/**
 * Throws `invalid_argument` (or OpenSSL's error) when a PEM cannot be used; the trust before it stays in effect then.
 */
export function createTrust(roots: SidecarRoots, leaf: SidecarLeaf, mesh?: MeshSettings): Trust {
  invariant(roots.roots.length > 0, 'no root is trusted');
  const common: SecureContextOptions = {
    cert: leaf.certPem,
    key: leaf.keyPem,
    ca: roots.roots.map((root) => root.pem),
    minVersion: LEAST,
    secureOptions: SECURE_OPTIONS,
  };
  const options = { ...common, ...limited(mesh?.incoming) };
  return {
    trustDomain: roots.trustDomain,
    roots: roots.roots.map((root) => parseCertificate(root.pem)),
    options,
    dialling: createSecureContext({ ...common, ...limited(mesh?.outgoing) }),
    leafPem: leaf.certPem,
    leafNotAfter: Date.parse(leaf.validBefore),
    leafUri: leaf.uri,
  };
}

const LEAST = 'TLSv1.2';
/** Suites of TLS 1.3, which no entry chooses among. */
const SUITES_1_3 = 'TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256';

/** As the `mesh` entry says; versions before 1.2 are not spoken. */
function limited(limits: TlsLimits | undefined): SecureContextOptions {
  const { minVersion, maxVersion, cipherSuites = [] } = limits ?? {};
  return {
    ...(minVersion === 'TLSv1_3' ? { minVersion: 'TLSv1.3' } : {}),
    ...(maxVersion === undefined || maxVersion === 'TLSv1_3' ? {} : { maxVersion: LEAST }),
    ...(cipherSuites.length === 0 ? {} : { ciphers: [...cipherSuites.map(opensslName), SUITES_1_3].join(':') }),
  };
}

/** Whether some root of `before` is missing in `after`. */
export function losesRoots(before: Trust, after: Trust): boolean {
  return before.roots.some((root) => !after.roots.some((kept) => kept.der.equals(root.der)));
}
