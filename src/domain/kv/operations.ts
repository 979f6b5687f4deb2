import { IsthmusError } from '../../lib/errors.ts';
import { isUuid } from '../../lib/ids.ts';
import type { KvOperation } from '../../model/kv.ts';
import type { KvEntity } from './entry.ts';
import { requireKey, type StoredKey, storedKey } from './keys.ts';
import type { EntryStep, SeenEntry } from './step.ts';

/** What an operation on one key came to: `entry` is what it left there; a false `done` has changed nothing. */
export interface Applied {
  readonly done: boolean;
  readonly entry?: SeenEntry;
}

const NOT_DONE: Applied = { done: false };
const DONE: Applied = { done: true };

/** Keys that one step deletes, at most. */
export const MAX_TREE_KEYS = 4_096;

export function rejected(text: string): IsthmusError {
  return new IsthmusError('rejected', text);
}

/** Throws Consul's text unless `id` may be a session's. */
export function requireSessionId(id: string): string {
  if (Buffer.byteLength(id) !== 36) throw rejected('failed session lookup: index error: UUID must be 36 characters');
  if (!isUuid(id)) throw rejected('failed session lookup: index error: encoding/hex: invalid byte');
  return id.toLowerCase();
}

/**
 * The write operations, by their verbs. Throws `rejected` where Consul fails; what merely does not hold is not done.
 */
export const WRITES: Readonly<Record<string, (step: EntryStep, operation: KvOperation) => Applied>> = {
  set: (step, operation) => ({ done: true, entry: set(step, operation) }),

  cas(step, operation) {
    const { Index = 0 } = operation;
    const before = step.get(keyOf(operation));
    if (Index === 0 ? before !== undefined : before?.modRevision !== Index) return NOT_DONE;
    return { done: true, entry: set(step, operation) };
  },

  lock(step, operation) {
    const { tx, tables } = step;
    const key = keyOf(operation);
    if (!operation.Session) throw rejected('missing session');
    const session = requireSessionId(operation.Session);
    if (tx.get(tables.sessions, session) === undefined)
      throw rejected(`invalid session ${JSON.stringify(operation.Session)}`);
    if (tx.get(tables.delays, key) !== undefined) return NOT_DONE;
    const before = step.get(key);
    const holder = before?.value.Session ?? '';
    if (holder !== '' && holder !== session) return NOT_DONE;
    const LockIndex = (before?.value.LockIndex ?? 0) + (holder === session ? 0 : 1);
    if (holder === '') {
      // Whoever ends the session meanwhile must see that it has one more lock, or this step is refused.
      const taken = tx.get(tables.holds, session)?.Taken ?? 0;
      tx.put(tables.holds, { ID: session, Taken: taken + 1 });
    }
    return { done: true, entry: step.put({ ...entityOf(key, operation), LockIndex, Session: session }) };
  },

  unlock(step, operation) {
    const key = keyOf(operation);
    if (!operation.Session) throw rejected('missing session');
    const before = step.get(key);
    if (before === undefined || before.value.Session !== operation.Session.toLowerCase()) return NOT_DONE;
    const { LockIndex } = before.value;
    return { done: true, entry: step.put({ ...entityOf(key, operation), LockIndex, Session: '' }) };
  },

  delete(step, operation) {
    step.delete(keyOf(operation));
    return DONE;
  },

  'delete-cas'(step, operation) {
    const key = keyOf(operation);
    const before = step.get(key);
    if (before === undefined) return DONE;
    if (before.modRevision !== (operation.Index ?? 0)) return NOT_DONE;
    step.delete(key);
    return DONE;
  },

  'delete-tree'(step, operation) {
    const found = step.under(storedKey(operation.Key));
    if (found.length > MAX_TREE_KEYS)
      throw rejected(
        `${found.length} keys begin with ${JSON.stringify(operation.Key)}: a transaction deletes ${MAX_TREE_KEYS} ` +
          `at most`,
      );
    for (const { value } of found) step.delete(value.Key);
    return DONE;
  },
};

/** A plain write leaves the lock with its holder; as in Consul it sets the lock's count back. */
function set(step: EntryStep, operation: KvOperation): SeenEntry {
  const key = keyOf(operation);
  const Session = step.get(key)?.value.Session ?? '';
  return step.put({ ...entityOf(key, operation), LockIndex: 0, Session });
}

function entityOf(key: StoredKey, { Value = '', Flags = 0 }: KvOperation): Omit<KvEntity, 'LockIndex' | 'Session'> {
  return { Key: key, Value, Flags };
}

export function keyOf({ Key }: KvOperation): StoredKey {
  if (Key === '') throw rejected('Must provide key');
  const key = storedKey(Key);
  requireKey(key);
  return key;
}
