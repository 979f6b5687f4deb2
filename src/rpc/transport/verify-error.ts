import type { PeerCertificate } from 'node:tls';

/** What OpenSSL's verdict on a peer's certificate means, and what to do about it. */
export function describeVerification(code: string, certificate: PeerCertificate | undefined): string {
  const whose = `its certificate (${nameOf(certificate)})`;
  switch (code) {
    case 'CERT_HAS_EXPIRED':
      return (
        `${whose}, or one above it, has expired (valid until ${certificate?.valid_to ?? 'unknown'}): renew it ` +
        `there`
      );
    case 'CERT_NOT_YET_VALID':
      return `${whose} is not valid yet (from ${certificate?.valid_from ?? 'unknown'}): do the clocks agree?`;
    case 'UNABLE_TO_GET_ISSUER_CERT':
    case 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY':
    case 'UNABLE_TO_VERIFY_LEAF_SIGNATURE':
    case 'SELF_SIGNED_CERT_IN_CHAIN':
    case 'DEPTH_ZERO_SELF_SIGNED_CERT':
    case 'CERT_SIGNATURE_FAILURE':
      return (
        `${whose} was made by an authority that is not trusted here${issuerOf(certificate)}: both sides need ` +
        `the same authorities (ca_file)`
      );
    case 'UNSPECIFIED': // what Node has no word for, such as name constraints
      return (
        `${whose} breaks a rule of its authority: does it have a name that this authority may not give, that ` +
        `of another datacenter?`
      );
    default:
      return `${whose} does not verify: ${code}`;
  }
}

/** The common name, else the first alternative name. */
export function nameOf(certificate: PeerCertificate | undefined): string {
  if (certificate === undefined) return 'none';
  const common: unknown = certificate.subject?.CN;
  return typeof common === 'string' && common !== ''
    ? common
    : (certificate.subjectaltname?.split(', ')[0] ?? 'no name');
}

function issuerOf(certificate: PeerCertificate | undefined): string {
  const issuer: unknown = certificate?.issuer?.CN;
  return typeof issuer === 'string' ? ` ("${issuer}")` : '';
}

/** A handshake that broke, as the one who dialled sees it. */
export function describeHandshake(error: NodeJS.ErrnoException): string {
  const { code = '', message } = error;
  if (code === 'ERR_SSL_WRONG_VERSION_NUMBER' || /wrong version number|packet length too long/i.test(message))
    return 'it answered in plain text, and this server dials with TLS (verify_outgoing): give it certificates too';
  if (code === 'ECONNRESET' || /disconnected before secure TLS connection/.test(message))
    return 'it ended the TLS handshake; when it has no certificates yet and expects plain text, give it some';
  if (/alert protocol version|unsupported protocol/i.test(message))
    return 'the two sides share no version of TLS: compare tls_min_version';
  if (/handshake failure|no shared cipher/i.test(message))
    return 'the two sides share no cipher suite: compare tls_cipher_suites';
  return `the TLS handshake failed: ${message}`;
}
