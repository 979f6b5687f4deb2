import type { ErrorCode } from '../lib/errors.ts';

/** The HTTP status each error code becomes. Consul answers 500 where a rule of the domain forbids a request. */
export const HTTP_STATUS: Readonly<Record<ErrorCode, number>> = {
  invalid_argument: 400,
  rejected: 500,
  not_found: 404,
  conflict: 409,
  permission_denied: 403,
  unauthenticated: 401,
  too_large: 413,
  rate_limited: 429,
  method_not_allowed: 405,
  unavailable: 503,
  no_path: 500,
  deadline: 504,
  cancelled: 503,
  compacted: 410,
  internal: 500,
};
