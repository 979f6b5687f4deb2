import { status } from '@grpc/grpc-js';
import { IsthmusError } from '../../lib/errors.ts';

/**
 * What a failed call means for the caller.
 * - doubtful: it may or may not have been carried out; another member may answer
 * - unsent: it was not carried out, because there is no connection or the member has lost the others; another may
 * answer
 * - busy: it was not carried out; it may be later
 * - token: it was not carried out; etcd wants a new token
 * - final: it was not carried out and won't be
 */
export type FailureKind = 'doubtful' | 'unsent' | 'busy' | 'token' | 'final';

/** What etcd or the connection to it answered instead of a reply. */
export class CallFailure extends Error {
  readonly endpoint: string;
  readonly code: status;
  readonly details: string;

  constructor(endpoint: string, code: status, details: string) {
    super(`${endpoint}: ${details}`);
    this.endpoint = endpoint;
    this.code = code;
    this.details = details;
  }

  static of(endpoint: string, thrown: unknown): CallFailure {
    if (thrown instanceof CallFailure) return thrown;
    const { code, details, message } = (thrown ?? {}) as { code?: unknown; details?: unknown; message?: unknown };
    return new CallFailure(
      endpoint,
      typeof code === 'number' ? code : status.UNKNOWN,
      String(details ?? message ?? thrown)
        .replace(/^No connection established\. Last error: (Error: )?/, `${NO_CONNECTION}: `)
        .replace(/\.? Resolution note: $/, ''),
    );
  }

  get kind(): FailureKind {
    if (this.code === status.UNAUTHENTICATED || TOKEN.test(this.details)) return 'token';
    if (this.details.includes('too many requests')) return 'busy';
    if (this.details.startsWith(NO_CONNECTION) || this.details.includes('no leader')) return 'unsent';
    return FINAL.has(this.code) ? 'final' : 'doubtful';
  }

  is(part: string): boolean {
    return this.details.includes(part);
  }

  /** As the caller's caller sees it. `what` names what was tried. */
  toError(what: string): IsthmusError {
    const answer = EXPLAINED.find(({ pattern }) => pattern.test(this.details));
    if (answer !== undefined) {
      return new IsthmusError(answer.code, `etcd at ${this.endpoint}: ${answer.text}`, { cause: this });
    }
    const code = this.code === status.OUT_OF_RANGE ? 'invalid_argument' : 'unavailable';
    return new IsthmusError(code, `etcd at ${this.endpoint} did not ${what}: ${this.details}`, { cause: this });
  }
}

const NO_CONNECTION = 'no connection';

const TOKEN = /invalid auth token|user name is empty|revision of auth store is old/;

const FINAL: ReadonlySet<status> = new Set([
  status.INVALID_ARGUMENT,
  status.NOT_FOUND,
  status.ALREADY_EXISTS,
  status.PERMISSION_DENIED,
  status.RESOURCE_EXHAUSTED,
  status.FAILED_PRECONDITION,
  status.OUT_OF_RANGE,
  status.UNIMPLEMENTED,
  status.DATA_LOSS,
]);

const EXPLAINED: readonly {
  readonly pattern: RegExp;
  readonly code: 'unavailable' | 'too_large' | 'not_found';
  readonly text: string;
}[] = [
  {
    pattern: /database space exceeded/,
    code: 'unavailable',
    text:
      'its database is full (alarm NOSPACE), so that nothing can be written: compact and defragment it or raise ' +
      "each member's " +
      '--quota-backend-bytes, then run "etcdctl alarm disarm"',
  },
  {
    pattern: /request is too large|larger than max/,
    code: 'too_large',
    text:
      'the write is larger than it takes in one step (1.5 MiB unless its --max-request-bytes says otherwise); ' +
      'write less at once',
  },
  {
    pattern: /too many operations in txn request/,
    code: 'unavailable',
    text: 'it takes fewer operations at once than Isthmus needs: set its --max-txn-ops to at least 128, the default',
  },
  { pattern: /lease not found/, code: 'not_found', text: 'the lease has ended' },
  {
    pattern: /invalid user ID or password/,
    code: 'unavailable',
    text: 'it refuses "storage.etcd.username" with "storage.etcd.password"',
  },
  {
    pattern: /user name is empty/,
    code: 'unavailable',
    text: 'it wants a user: set "storage.etcd.username" and "storage.etcd.password"',
  },
  {
    pattern: /permission denied/,
    code: 'unavailable',
    text:
      'the user "storage.etcd.username" may not read and write below "storage.etcd.prefix"; grant it a role ' +
      'with that right',
  },
  {
    pattern: /corrupt cluster/,
    code: 'unavailable',
    text: "its members' data differs (alarm CORRUPT): replace the member whose data is wrong, then disarm the alarm",
  },
];
