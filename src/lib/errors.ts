/**
 * The closed set of error codes. `model/status.ts` says which HTTP status and which CLI exit code each becomes.
 *
 * - invalid_argument: the request itself is malformed (peer: 400)
 * - rejected: well-formed, but the rules of the domain forbid it (peer: 500 with the rule's text)
 * - not_found, conflict, permission_denied, unauthenticated, too_large, rate_limited, method_not_allowed: as they say
 * - unavailable: cannot be answered now; trying again may help
 * - no_path: the datacenter named in the request cannot be reached
 * - deadline: a time limit ran out
 * - cancelled: the caller went away or the process is stopping
 * - compacted: a revision older than the store still holds was asked for
 * - internal: a defect of ours
 */
export const ERROR_CODES = [
  'invalid_argument',
  'rejected',
  'not_found',
  'conflict',
  'permission_denied',
  'unauthenticated',
  'too_large',
  'rate_limited',
  'method_not_allowed',
  'unavailable',
  'no_path',
  'deadline',
  'cancelled',
  'compacted',
  'internal',
] as const;

export type ErrorCode = (typeof ERROR_CODES)[number];

export interface ErrorOptions {
  /** What led here; kept for logs, never sent to a caller. */
  readonly cause?: unknown;
  /** Public facts beside the text (for example the revision still available). */
  readonly details?: Readonly<Record<string, unknown>>;
}

/** The one error class of the project. `message` is public: it tells the reader what to do and holds no secret. */
export class IsthmusError extends Error {
  readonly code: ErrorCode;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'IsthmusError';
    this.code = code;
    this.details = options.details ?? {};
  }

  /** Turns anything thrown into an IsthmusError; aborts become `cancelled`, the rest `internal`. */
  static from(thrown: unknown): IsthmusError {
    if (thrown instanceof IsthmusError) return thrown;
    if (thrown instanceof Error) {
      if (thrown.name === 'AbortError') return new IsthmusError('cancelled', 'cancelled', { cause: thrown });
      return new IsthmusError('internal', thrown.message, { cause: thrown });
    }
    return new IsthmusError('internal', String(thrown), { cause: thrown });
  }
}

/** True when `thrown` is an IsthmusError with one of `codes`. */
export function hasCode(thrown: unknown, ...codes: ErrorCode[]): thrown is IsthmusError {
  return thrown instanceof IsthmusError && codes.includes(thrown.code);
}

/** Throws `internal` when a fact the program relies on does not hold. */
export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) throw new IsthmusError('internal', message);
}
