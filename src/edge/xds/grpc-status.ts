import { type ErrorCode, IsthmusError } from '../../lib/errors.ts';

/** Codes of gRPC. */
const status = {
  CANCELLED: 1,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  UNAUTHENTICATED: 16,
} as const;

/** What each error becomes on the wire. Envoy tries again whatever it is; the text is for its log. */
const STATUS: Readonly<Record<ErrorCode, number>> = {
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

export interface GrpcStatus {
  readonly code: number;
  readonly details: string;
}

export function grpcStatus(thrown: unknown): GrpcStatus {
  const error = IsthmusError.from(thrown);
  const details = error.code === 'internal' ? 'this agent failed; its log says why' : error.message;
  return { code: STATUS[error.code], details };
}
