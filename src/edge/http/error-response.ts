import type { IsthmusError } from '../../lib/errors.ts';
import { HTTP_STATUS } from '../../model/status.ts';
import type { ApiResponse } from './route.ts';

/**
 * An error as Consul sends it: the text alone, as plain text. One that says when to come back says so in a header too.
 */
export function errorResponse(error: IsthmusError, headers?: Readonly<Record<string, string>>): ApiResponse {
  const response = { status: HTTP_STATUS[error.code], text: error.message };
  const { retryAfterMs } = error.details;
  if (typeof retryAfterMs === 'number')
    return { ...response, headers: { ...headers, 'Retry-After': String(Math.ceil(retryAfterMs / 1_000)) } };
  return headers === undefined ? response : { ...response, headers };
}
