import { isIPv6 } from 'node:net';
import { type ErrorCode, IsthmusError } from '../lib/errors.ts';
import type { Target } from './options.ts';

const SYSTEM_TEXTS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connect: connection refused',
  EHOSTUNREACH: 'connect: no route to host',
  ENETUNREACH: 'connect: network is unreachable',
  ETIMEDOUT: 'connect: connection timed out',
  ENOENT: 'connect: no such file or directory',
  EACCES: 'connect: permission denied',
};

interface SystemError extends Error {
  readonly code?: string;
  readonly address?: string;
  readonly port?: number;
  readonly reason?: string;
  readonly errors?: readonly SystemError[];
}

/** A request that got no answer, in the words of Consul's client: `Get "http://…": dial tcp …: connect: …`. */
export function connectionError(method: string, url: string, target: Target, thrown: unknown): IsthmusError {
  const outer = thrown as SystemError;
  const error = outer.errors?.[0] ?? outer;
  const verb = method.charAt(0) + method.slice(1).toLowerCase();
  return new IsthmusError('unavailable', `${verb} ${JSON.stringify(url)}: ${describe(error, target)}`, {
    cause: thrown,
    details: { reason: error.code ?? 'unknown' },
  });
}

function describe(error: SystemError, target: Target): string {
  const { code = '' } = error;
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return `dial tcp: lookup ${target.host}: no such host`;
  if (code === 'ECONNRESET' || error.message === 'socket hang up') return 'EOF';
  const text = SYSTEM_TEXTS[code];
  if (text === undefined) return describeTls(code, error, target);
  if (target.socketPath !== undefined) return `dial unix ${target.socketPath}: ${text}`;
  const address = error.address ?? target.host;
  return `dial tcp ${isIPv6(address) ? `[${address}]` : address}:${error.port ?? target.port}: ${text}`;
}

/** Why a TLS connection was refused: Consul's words, and what to do. */
function describeTls(code: string, { message, reason }: SystemError, { host }: Target): string {
  switch (code) {
    case 'UNABLE_TO_VERIFY_LEAF_SIGNATURE':
    case 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY':
    case 'SELF_SIGNED_CERT_IN_CHAIN':
    case 'DEPTH_ZERO_SELF_SIGNED_CERT':
      return 'x509: certificate signed by unknown authority; name its authority with -ca-file or CONSUL_CACERT';
    case 'CERT_HAS_EXPIRED':
    case 'CERT_NOT_YET_VALID':
      return 'x509: certificate has expired or is not yet valid';
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return (
        `x509: certificate is not valid for ${host} (${reason ?? message}); name the right one with ` +
        `-tls-server-name`
      );
    case 'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED':
      return 'remote error: tls: certificate required; give one with -client-cert and -client-key';
    case 'ERR_SSL_TLSV1_ALERT_UNKNOWN_CA':
      return 'remote error: tls: unknown certificate authority; the agent does not trust the one of -client-cert';
    case 'ERR_SSL_WRONG_VERSION_NUMBER':
    case 'ERR_SSL_PACKET_LENGTH_TOO_LONG':
      return 'http: server gave HTTP response to HTTPS client; write http:// in front of its address';
    default:
      return message;
  }
}

const STATUS_CODES: Readonly<Record<number, ErrorCode>> = {
  400: 'invalid_argument',
  401: 'unauthenticated',
  403: 'permission_denied',
  404: 'not_found',
  405: 'method_not_allowed',
  409: 'conflict',
  410: 'compacted',
  413: 'too_large',
  429: 'rate_limited',
  500: 'rejected',
  503: 'unavailable',
  504: 'deadline',
};

/** An answer that says no: `Unexpected response code: 500 (…)`. */
export function statusError(status: number, body: string): IsthmusError {
  return new IsthmusError(STATUS_CODES[status] ?? 'internal', `Unexpected response code: ${status} (${body})`, {
    details: { status, body },
  });
}
