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
  readonly errors?: readonly SystemError[];
}

/** A request that got no answer, in the words of the peer's client: `Get "http://…": dial tcp …: connect: …`. */
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
  if (text === undefined) return error.message;
  if (target.socketPath !== undefined) return `dial unix ${target.socketPath}: ${text}`;
  const address = error.address ?? target.host;
  return `dial tcp ${isIPv6(address) ? `[${address}]` : address}:${error.port ?? target.port}: ${text}`;
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
