import type { IsthmusError } from '../../lib/errors.ts';
import { HTTP_STATUS } from '../../model/status.ts';
import type { ApiResponse } from './route.ts';

/** An error as the peer sends it: the text alone, as plain text. */
export function errorResponse(error: IsthmusError, headers?: Readonly<Record<string, string>>): ApiResponse {
  const response = { status: HTTP_STATUS[error.code], text: error.message };
  return headers === undefined ? response : { ...response, headers };
}
