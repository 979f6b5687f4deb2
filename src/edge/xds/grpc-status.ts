import { Metadata, type StatusObject, status } from '@grpc/grpc-js';
import { type ErrorCode, IsthmusError } from '../../lib/errors.ts';

/** What each error becomes on the wire. Envoy tries again whatever it is; the text is for its log. */
const STATUS: Readonly<Record<ErrorCode, status>> = {
  invalid_argument: status.INVALID_ARGUMENT,
  rejected: status.FAILED_PRECONDITION,
  not_found: status.NOT_FOUND,
  conflict: status.ABORTED,
  permission_denied: status.PERMISSION_DENIED,
  unauthenticated: status.UNAUTHENTICATED,
  too_large: status.RESOURCE_EXHAUSTED,
  rate_limited: status.RESOURCE_EXHAUSTED,
  method_not_allowed: status.UNIMPLEMENTED,
  unavailable: status.UNAVAILABLE,
  no_path: status.UNAVAILABLE,
  deadline: status.DEADLINE_EXCEEDED,
  cancelled: status.CANCELLED,
  compacted: status.OUT_OF_RANGE,
  internal: status.INTERNAL,
};

export function grpcStatus(thrown: unknown): StatusObject {
  const error = IsthmusError.from(thrown);
  const details = error.code === 'internal' ? 'this agent failed; its log says why' : error.message;
  return { code: STATUS[error.code], details, metadata: new Metadata() };
}
