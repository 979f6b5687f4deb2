import type { Session } from '../../model/kv.ts';
import type { Store } from '../../store/store.ts';
import { joinKey, type Table } from '../../store/table.ts';
import { entryCodec, type KvEntity } from './entry.ts';
import type { StoredKey } from './keys.ts';
import { KvTopics } from './topics.ts';

export type SessionEntity = Omit<Session, 'CreateIndex' | 'ModifyIndex'>;

/** Counts the locks that a session has taken: whoever ends the session sees that one was taken meanwhile. */
export interface HoldsEntity {
  readonly ID: string;
  readonly Taken: number;
}

/** A session that is gone while some of its locks are not let go of yet: there were too many for one step. */
export type EndingEntity = Pick<SessionEntity, 'ID' | 'LockDelay' | 'Behavior'>;

/** The key can't be locked while the row is there. */
export interface LockDelayEntity {
  readonly Key: StoredKey;
  readonly Ms: number;
}

export interface KvTables {
  /** Index `session`: who holds the lock. */
  readonly entries: Table<KvEntity>;
  /** Indexes `node`, `check` (see {@link checkRef}). */
  readonly sessions: Table<SessionEntity>;
  readonly holds: Table<HoldsEntity>;
  readonly endings: Table<EndingEntity>;
  readonly delays: Table<LockDelayEntity>;
}

export const SESSIONS = 'kv-sessions';

export function checkRef(node: string, checkId: string): string {
  return joinKey(node.toLowerCase(), checkId.toLowerCase());
}

export function checksOf({ NodeChecks, ServiceChecks }: SessionEntity): readonly string[] {
  return [...(NodeChecks ?? []), ...(ServiceChecks ?? []).map(({ ID }) => ID)];
}

export function createTables(store: Store): { readonly tables: KvTables; readonly topics: KvTopics } {
  const topics = new KvTopics();
  const entries = store.table<KvEntity>({
    name: 'kv',
    key: ({ Key }) => Key,
    ordered: true,
    indexes: { session: ({ Session: holder }) => (holder === '' ? [] : [holder]) },
    topics: ({ Key }) => topics.changedBy(Key),
    codec: entryCodec,
  });
  topics.follow(store, entries);
  const sessions = store.table<SessionEntity>({
    name: SESSIONS,
    key: ({ ID }) => ID,
    indexes: {
      node: ({ Node }) => [Node.toLowerCase()],
      check: (session) => [...new Set(checksOf(session).map((check) => checkRef(session.Node, check)))],
    },
  });
  const holds = store.table<HoldsEntity>({ name: 'kv-holds', key: ({ ID }) => ID });
  const endings = store.table<EndingEntity>({ name: 'kv-endings', key: ({ ID }) => ID });
  const delays = store.table<LockDelayEntity>({ name: 'kv-delays', key: ({ Key }) => Key });
  return { tables: { entries, sessions, holds, endings, delays }, topics };
}
