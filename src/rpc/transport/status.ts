import { status } from '@grpc/grpc-js';
import { type ErrorCode, IsthmusError } from '../../lib/errors.ts';

const CODES: Readonly<Record<number, ErrorCode>> = {
  [status.CANCELLED]: 'unavailable', // our own cancelling shows in the caller's signal
  [status.UNAVAILABLE]: 'unavailable',
  [status.ABORTED]: 'unavailable',
  [status.DEADLINE_EXCEEDED]: 'deadline',
  [status.RESOURCE_EXHAUSTED]: 'too_large',
  [status.PERMISSION_DENIED]: 'permission_denied',
  [status.UNAUTHENTICATED]: 'unauthenticated',
};

/** The error behind a gRPC status: the transport failed, not the request. */
export function fromStatus(thrown: unknown, peer: string): IsthmusError {
  const { code, details } = thrown as { code?: number; details?: string };
  if (typeof code !== 'number') return IsthmusError.from(thrown);
  return new IsthmusError(CODES[code] ?? 'internal', `${peer}: ${plain(details) || (status[code] ?? 'failed')}`, {
    cause: thrown,
  });
}

/** The library wraps what happened ("connect ECONNREFUSED …") into its own account of the channel. */
function plain(details: string | undefined): string {
  return (details ?? '')
    .replace(/^No connection established\. Last error: (?:\w*Error: )?/, '')
    .replace(/\.? Resolution note: .*$/s, '');
}
