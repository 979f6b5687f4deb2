import type { Clock } from '../../lib/clock.ts';
import type { TaskGroup } from '../../lib/task.ts';
import type { Store } from '../../store/store.ts';
import type { Logger } from '../../telemetry/types.ts';
import { createEntries, type EntryReads, type EntryWrites } from './entries.ts';
import { type KeptCatalog, SessionKeeper } from './keeper.ts';
import { createSessions, type SessionCatalog, type SessionReads, type SessionWrites } from './sessions.ts';
import { createTables, type KvTables } from './tables.ts';
import { createTxn, type TxnCatalog, type TxnMethods } from './txn.ts';

export interface KvDeps {
  readonly store: Store;
  readonly catalog: { readonly sessions: SessionCatalog; readonly txn: TxnCatalog; readonly kept: KeptCatalog };
  /** Shortest TTL of a session, milliseconds. */
  readonly minTtlMs: number;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface Kv {
  readonly tables: KvTables;
  readonly reads: EntryReads & SessionReads & TxnMethods['reads'];
  readonly writes: EntryWrites & SessionWrites & TxnMethods['writes'];
  /** What the leader does, until its tasks are stopped. @param where a fenced store */
  lead(where: Pick<Store, 'transact'>, tasks: TaskGroup): void;
}

/** Keys with their values, locks on them, the sessions that hold those, and transactions. Before the store starts. */
export function createKv({ store, catalog, minTtlMs, clock, log }: KvDeps): Kv {
  const { tables, topics } = createTables(store);
  const sessions = createSessions({
    store,
    tables,
    catalog: catalog.sessions,
    minTtlMs,
    renewed: (session) => keeper.renewed(session),
  });
  const keeper = new SessionKeeper({ store, tables, sessions, catalog: catalog.kept, clock, log });
  const entries = createEntries({ store, tables, topics });
  const txn = createTxn({ store, tables, sessions, catalog: catalog.txn });
  return {
    tables,
    reads: { ...entries.reads, ...sessions.reads, ...txn.reads },
    writes: { ...entries.writes, ...sessions.writes, ...txn.writes },
    lead: (where, tasks) => keeper.lead(where, tasks),
  };
}
