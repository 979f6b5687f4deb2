/** A failed connection in the words of Consul, which operators and their tools know. */
export function dialError(error: unknown, address: string, network = 'tcp'): string {
  const { code = '', message = String(error) } = error as NodeJS.ErrnoException;
  const text = DIAL_TEXTS[code];
  if (text !== undefined) return `dial ${network} ${address}: ${text}`;
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return `dial ${network}: lookup ${hostOf(address)}: no such host`;
  if (UNTRUSTED.has(code)) return 'tls: failed to verify certificate: x509: certificate signed by unknown authority';
  if (code === 'CERT_HAS_EXPIRED')
    return 'tls: failed to verify certificate: x509: certificate has expired or is not yet valid';
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return `tls: failed to verify certificate: x509: ${message}`;
  if (code === 'ERR_SSL_WRONG_VERSION_NUMBER' || code === 'ERR_SSL_PACKET_LENGTH_TOO_LONG')
    return 'tls: first record does not look like a TLS handshake';
  return message;
}

const DIAL_TEXTS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connect: connection refused',
  ECONNRESET: 'connect: connection reset by peer',
  EHOSTUNREACH: 'connect: no route to host',
  ENETUNREACH: 'connect: network is unreachable',
  EADDRNOTAVAIL: 'connect: cannot assign requested address',
  ETIMEDOUT: 'i/o timeout',
};

const UNTRUSTED = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
]);

function hostOf(address: string): string {
  return address.slice(0, address.lastIndexOf(':'));
}

/** The error that stands for a run that took too long. */
export function timeoutError(): Error {
  return Object.assign(new Error('i/o timeout'), { code: 'ETIMEDOUT' });
}

/** How long a probe may take when its definition does not say, milliseconds. */
export const DEFAULT_TIMEOUT_MS = 10_000;
