import { hasCode, IsthmusError } from '../../lib/errors.ts';
import {
  type CheckOperation,
  type KvEntry,
  type KvOperation,
  MAX_TXN_OPERATIONS,
  type NodeOperation,
  onlyReads,
  type ServiceOperation,
  type SessionOperation,
  type TxnAnswer,
  type TxnError,
  type TxnOperation,
  type TxnResult,
} from '../../model/kv.ts';
import type { Read } from '../../store/read.ts';
import type { Store, Tx } from '../../store/store.ts';
import { requireOperation } from './arguments.ts';
import { entryForm } from './entry.ts';
import { keyText, storedKey } from './keys.ts';
import { keyOf, rejected, requireSessionId, WRITES } from './operations.ts';
import type { Sessions } from './sessions.ts';
import { committed, EntryStep, type SeenEntry } from './step.ts';
import type { KvTables } from './tables.ts';

/** A result whose revision is known once its step is a commit. */
export type Pending = (revision: number) => TxnResult;

/** The catalog's part of transactions. Each throws `rejected` with Consul's text where the operation fails. */
export interface TxnCatalog {
  node(tx: Tx, operation: NodeOperation): readonly Pending[];
  service(tx: Tx, operation: ServiceOperation): readonly Pending[];
  check(tx: Tx, operation: CheckOperation): readonly Pending[];
}

export interface TxnDeps {
  readonly store: Store;
  readonly tables: KvTables;
  readonly sessions: Pick<Sessions, 'endWithin'>;
  readonly catalog: TxnCatalog;
}

export interface TxnArgs {
  readonly operations: readonly TxnOperation[];
  /** What the caller may not do: nothing is done then. */
  readonly refused?: readonly TxnError[];
}

export interface TxnMethods {
  readonly reads: { readonly 'txn.read': Read<TxnArgs, TxnAnswer> };
  readonly writes: { 'txn.apply'(args: TxnArgs): Promise<TxnAnswer> };
}

/** What entries of get-tree operations hold together, characters, at most. */
const MAX_ANSWER = 32 * 1_024 * 1_024;

class Failed extends Error {
  readonly errors: readonly TxnError[];

  constructor(errors: readonly TxnError[]) {
    super('transaction failed');
    this.errors = errors;
  }
}

export function createTxn({ store, tables, sessions, catalog }: TxnDeps): TxnMethods {
  /** Runs all operations, also after one has failed, so that each failure is reported. */
  const run = (tx: Tx, operations: readonly TxnOperation[]): readonly Pending[] => {
    const step = new EntryStep(tx, tables);
    const results: Pending[] = [];
    const errors: TxnError[] = [];
    for (const [OpIndex, operation] of operations.entries()) {
      try {
        results.push(...one(step, operation));
      } catch (error) {
        if (!hasCode(error, 'rejected', 'invalid_argument', 'too_large')) throw error;
        errors.push({ OpIndex, What: error.message });
      }
    }
    if (errors.length > 0) throw new Failed(errors);
    return results;
  };

  const one = (step: EntryStep, { KV, Node, Service, Check, Session }: TxnOperation): readonly Pending[] => {
    if (KV !== undefined) return keys(step, requireOperation(KV));
    if (Node !== undefined) return catalog.node(step.tx, Node);
    if (Service !== undefined) return catalog.service(step.tx, Service);
    if (Check !== undefined) return catalog.check(step.tx, Check);
    if (Session === undefined) throw rejected('no operation specified');
    session(step.tx, Session);
    return [];
  };

  const session = (tx: Tx, { Verb, Session: { ID = '' } }: SessionOperation): void => {
    if (Verb !== 'delete') throw rejected(`failed to delete session: unknown Session verb ${JSON.stringify(Verb)}`);
    sessions.endWithin(tx, requireSessionId(ID));
  };

  const guarded = async (operations: readonly TxnOperation[], work: () => Promise<TxnAnswer>): Promise<TxnAnswer> => {
    if (!Array.isArray(operations)) throw new IsthmusError('invalid_argument', 'a transaction is a list of operations');
    if (operations.length > MAX_TXN_OPERATIONS) throw tooMany(operations.length);
    try {
      return await work();
    } catch (error) {
      if (error instanceof Failed) return { Results: null, Errors: error.errors };
      throw error;
    }
  };

  return {
    reads: {
      'txn.read': {
        topics: () => [],
        produce({ operations, refused }) {
          if (refused !== undefined && refused.length > 0) return { Results: null, Errors: refused };
          if (operations.length > MAX_TXN_OPERATIONS) throw tooMany(operations.length);
          if (!onlyReads(operations)) throw new IsthmusError('invalid_argument', 'this transaction is not only read');
          try {
            const results = run(readOnly(), operations);
            return { Results: results.map((result) => result(store.revision)), Errors: null };
          } catch (error) {
            if (error instanceof Failed) return { Results: null, Errors: error.errors };
            throw error;
          }
        },
      },
    },
    writes: {
      'txn.apply': ({ operations, refused }) =>
        guarded(operations, async () => {
          if (refused !== undefined && refused.length > 0) return { Results: null, Errors: refused };
          if (store.shared && operations.some(({ KV }) => KV?.Verb.endsWith('-tree'))) await store.sync();
          const { result, revision } = await store.transact((tx) => run(tx, operations));
          return { Results: result.map((pending) => pending(revision)), Errors: null };
        }),
    },
  };

  function keys(step: EntryStep, operation: KvOperation): readonly Pending[] {
    const { Verb } = operation;
    const read = Object.hasOwn(READS, Verb) ? READS[Verb] : undefined;
    if (read !== undefined) return read(step, operation);
    const write = Object.hasOwn(WRITES, Verb) ? WRITES[Verb] : undefined;
    if (write === undefined) throw rejected(`unknown KV verb ${JSON.stringify(Verb)}`);
    if (Verb === 'lock' && step.tx.get(tables.delays, keyOf(operation)) !== undefined)
      throw rejected(`failed to lock key ${quoted(operation)} due to lock delay`);
    const { done, entry } = write(step, operation);
    if (!done) throw rejected(NOT_DONE[Verb]?.(quoted(operation)) ?? `failed: ${Verb}`);
    return entry === undefined ? [] : [pendingEntry(entry, false)];
  }

  /** A read's own view of the tables, which nothing is written to. */
  function readOnly(): Tx {
    const no = (): never => {
      throw new IsthmusError('internal', 'a read-only transaction writes');
    };
    return { get: (table, key) => table.get(key)?.value, row: (table, key) => table.get(key), put: no, delete: no };
  }
}

const NOT_DONE: Readonly<Record<string, (key: string) => string>> = {
  cas: (key) => `failed to set key ${key}, index is stale`,
  lock: (key) => `failed to lock key ${key}, lock is already held`,
  unlock: (key) => `failed to unlock key ${key}, lock isn't held, or is held by another session`,
  'delete-cas': (key) => `failed to delete key ${key}, index is stale`,
};

const READS: Readonly<Record<string, (step: EntryStep, operation: KvOperation) => readonly Pending[]>> = {
  get(step, operation) {
    const entry = step.get(keyOf(operation));
    if (entry === undefined) throw rejected(`key ${quoted(operation)} doesn't exist`);
    return [pendingEntry(entry, true)];
  },

  'get-or-empty'(step, operation) {
    const entry = step.get(keyOf(operation));
    if (entry !== undefined) return [pendingEntry(entry, true)];
    const { Key, Flags = 0 } = operation;
    return [() => ({ KV: { LockIndex: 0, Key, Flags, Value: null, CreateIndex: 0, ModifyIndex: 0 } })];
  },

  'get-tree'(step, operation) {
    const found = step.under(storedKey(operation.Key));
    const size = found.reduce((sum, { value }) => sum + value.Key.length + value.Value.length, 0);
    if (size > MAX_ANSWER)
      throw rejected(`the keys under ${quoted(operation)} are too many for a transaction: read them with ?recurse`);
    return found.map((entry) => pendingEntry(entry, true));
  },

  'check-session'(step, operation) {
    const entry = step.get(keyOf(operation));
    const { Session = '' } = operation;
    if (entry === undefined) throw rejected(`failed to check session, key ${quoted(operation)} doesn't exist`);
    if (entry.value.Session !== Session.toLowerCase())
      throw rejected(
        `failed session check for key ${quoted(operation)}, current session ${JSON.stringify(entry.value.Session)} ` +
          `!= ${JSON.stringify(Session)}`,
      );
    return [pendingEntry(entry, false)];
  },

  'check-index'(step, operation) {
    const entry = step.get(keyOf(operation));
    const { Index = 0 } = operation;
    if (entry === undefined) throw rejected(`failed to check index, key ${quoted(operation)} doesn't exist`);
    if (entry.modRevision !== Index) {
      const current = entry.modRevision ?? 'of this transaction';
      throw rejected(`failed index check for key ${quoted(operation)}, current modify index ${current} != ${Index}`);
    }
    return [pendingEntry(entry, false)];
  },

  'check-not-exists'(step, operation) {
    if (step.get(keyOf(operation)) !== undefined) throw rejected(`key ${quoted(operation)} exists`);
    return [];
  },
};

/** @param withValue only what was asked for by a get is shown with its value */
function pendingEntry(entry: SeenEntry, withValue: boolean): Pending {
  return (revision) => {
    // Whose rights are checked against it: the key as it was sent. The edge shows it well-formed.
    const form: KvEntry = { ...entryForm(committed(entry, revision)), Key: keyText(entry.value.Key) };
    return { KV: withValue ? form : { ...form, Value: null } };
  };
}

function quoted({ Key }: KvOperation): string {
  return JSON.stringify(Key);
}

function tooMany(count: number): IsthmusError {
  return new IsthmusError('too_large', `Transaction contains too many operations (${count} > ${MAX_TXN_OPERATIONS})`);
}
