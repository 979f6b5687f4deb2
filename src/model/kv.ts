/** Types of the key/value store and of sessions, as Consul writes them. */

export interface KvEntry {
  readonly LockIndex: number;
  readonly Key: string;
  /** A decimal text above 2^53-1: JSON's numbers in this language end there. Answers of the API show a number. */
  readonly Flags: number | string;
  /** Base64; null when empty. */
  readonly Value: string | null;
  /** Holder of the lock. */
  readonly Session?: string;
  readonly CreateIndex: number;
  readonly ModifyIndex: number;
}

export type SessionBehavior = 'release' | 'delete';

export interface ServiceCheckRef {
  readonly ID: string;
  readonly Namespace?: string;
}

export interface Session {
  readonly ID: string;
  readonly Name: string;
  readonly Node: string;
  /** Nanoseconds. */
  readonly LockDelay: number;
  readonly Behavior: SessionBehavior;
  /** A duration of Go; '' without one. */
  readonly TTL: string;
  readonly NodeChecks: readonly string[] | null;
  readonly ServiceChecks: readonly ServiceCheckRef[] | null;
  readonly CreateIndex: number;
  readonly ModifyIndex: number;
}

/** What a caller may say of a new session; absent fields get their defaults. */
export interface SessionRequest {
  readonly Name?: string;
  readonly Node: string;
  readonly LockDelay?: number;
  readonly Behavior?: string;
  readonly TTL?: string;
  readonly NodeChecks?: readonly string[];
  readonly ServiceChecks?: readonly ServiceCheckRef[];
}

const KV_WRITE_VERBS = new Set(['set', 'cas', 'lock', 'unlock', 'delete', 'delete-cas', 'delete-tree']);

/** One operation on keys. Keys are texts as `lib/bytes-in-text.ts` makes them. */
export interface KvOperation {
  readonly Verb: string;
  readonly Key: string;
  /** Base64. */
  readonly Value?: string;
  readonly Flags?: number | string;
  /** ModifyIndex that is expected. */
  readonly Index?: number;
  readonly Session?: string;
}

export interface NodeOperation {
  readonly Verb: string;
  readonly Node: Readonly<Record<string, unknown>>;
}

export interface ServiceOperation {
  readonly Verb: string;
  readonly Node: string;
  readonly Service: Readonly<Record<string, unknown>>;
}

export interface CheckOperation {
  readonly Verb: string;
  readonly Check: Readonly<Record<string, unknown>>;
}

export interface SessionOperation {
  readonly Verb: string;
  readonly Session: { readonly ID?: string };
}

/** Exactly one of them. */
export interface TxnOperation {
  readonly KV?: KvOperation;
  readonly Node?: NodeOperation;
  readonly Service?: ServiceOperation;
  readonly Check?: CheckOperation;
  readonly Session?: SessionOperation;
}

export interface TxnError {
  readonly OpIndex: number;
  readonly What: string;
}

/** One of them. */
export interface TxnResult {
  readonly KV?: KvEntry;
  readonly Node?: unknown;
  readonly Service?: unknown;
  readonly Check?: unknown;
}

export interface TxnAnswer {
  readonly Results: readonly TxnResult[] | null;
  readonly Errors: readonly TxnError[] | null;
}

/** Operations of one transaction, at most: as in the current edition of Consul. */
export const MAX_TXN_OPERATIONS = 128;

const TXN_READS: Readonly<Record<string, ReadonlySet<string>>> = {
  KV: new Set(['get', 'get-tree', 'get-or-empty', 'check-index', 'check-session', 'check-not-exists']),
  Node: new Set(['get']),
  Service: new Set(['get']),
  Check: new Set(['get']),
};

/** True when no operation changes anything. One that is not known changes nothing either: it is refused. */
export function onlyReads(operations: readonly TxnOperation[]): boolean {
  return operations.every((operation) => {
    const [kind, { Verb = '' } = {}] = Object.entries(operation)[0] ?? [];
    if (kind === undefined) return true;
    if (kind === 'KV') return !KV_WRITE_VERBS.has(Verb);
    return TXN_READS[kind]?.has(Verb) === true;
  });
}
