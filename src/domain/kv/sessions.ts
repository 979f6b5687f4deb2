import { formatDuration, tryParseDuration } from '../../lib/duration.ts';
import { newUuid } from '../../lib/ids.ts';
import type { Session, SessionBehavior, SessionRequest } from '../../model/kv.ts';
import type { Read } from '../../store/read.ts';
import type { Store, Tx } from '../../store/store.ts';
import type { Stored } from '../../store/table.ts';
import { rejected, requireSessionId } from './operations.ts';
import { EntryStep } from './step.ts';
import { type EndingEntity, type KvTables, SESSIONS, type SessionEntity } from './tables.ts';

/** What sessions need to know of the catalog, within a step. */
export interface SessionCatalog {
  /** The node's name as it is registered. */
  node(tx: Tx, name: string): string | undefined;
  /** Status of a check of the node. */
  check(tx: Tx, node: string, checkId: string): string | undefined;
}

export interface SessionsDeps {
  readonly store: Store;
  readonly tables: KvTables;
  readonly catalog: SessionCatalog;
  /** `session_ttl_min`, milliseconds. */
  readonly minTtlMs: number;
  /** The leader's timers. */
  readonly renewed: (session: SessionEntity) => void;
}

export interface SessionReads {
  readonly 'sessions.list': Read<Record<never, never>, readonly Session[]>;
  readonly 'sessions.info': Read<{ readonly id: string }, readonly Session[]>;
  readonly 'sessions.node': Read<{ readonly node: string }, readonly Session[]>;
}

export interface SessionWrites {
  'sessions.create'(args: SessionRequest): Promise<{ readonly ID: string }>;
  'sessions.destroy'(args: { readonly id: string }): Promise<true>;
  /** The session; none when it does not exist. */
  'sessions.renew'(args: { readonly id: string }): Promise<readonly Session[]>;
}

export interface Sessions {
  readonly reads: SessionReads;
  readonly writes: SessionWrites;
  /**
   * Ends a session, if it is there, and lets go of its locks. @param store where it is written: a fenced one as leader
   */
  end(store: Pick<Store, 'transact'>, id: string): Promise<void>;
  /** Ends it within a larger step. Throws `rejected` when it holds too much for one step. */
  endWithin(tx: Tx, id: string): void;
}

const MAX_TTL_MS = 24 * 3_600_000;
/** As Consul: a lock is kept from others this long at most, milliseconds, whatever the session says. */
const MAX_LOCK_DELAY_MS = 60_000;
const DEFAULT_LOCK_DELAY_NS = 15e9;
/** Locks that one step lets go of, and the characters of their values, at most: it must fit into one write of etcd. */
const STEP_LOCKS = 256;
const STEP_CHARACTERS = 524_288;

/** The TTL in milliseconds; 0 without one. */
export function ttlOf({ TTL }: Pick<SessionEntity, 'TTL'>): number {
  return tryParseDuration(TTL === '' ? '0' : TTL) ?? 0;
}

export function createSessions(deps: SessionsDeps): Sessions {
  const { store, tables, catalog, minTtlMs } = deps;
  const topics = [SESSIONS];
  const ofTable = (): readonly string[] => topics;

  const validate = (request: SessionRequest): SessionEntity => {
    const { Name = '', Node, Behavior = '', TTL = '', NodeChecks, ServiceChecks } = request;
    const { LockDelay = DEFAULT_LOCK_DELAY_NS } = request;
    if (Node === '') throw rejected('Must provide Node');
    if (Behavior !== '' && Behavior !== 'release' && Behavior !== 'delete')
      throw rejected(`Invalid Behavior setting '${Behavior}'`);
    if (TTL !== '') {
      const ms = tryParseDuration(TTL);
      if (ms === undefined)
        throw rejected(`Session TTL '${TTL}' invalid: time: invalid duration ${JSON.stringify(TTL)}`);
      if (ms !== 0 && (ms < minTtlMs || ms > MAX_TTL_MS)) {
        const bounds = `[${formatDuration(minTtlMs)}=${formatDuration(MAX_TTL_MS)}]`;
        throw rejected(`Invalid Session TTL '${Math.round(ms * 1e6)}', must be between ${bounds}`);
      }
    }
    return {
      ID: newUuid(),
      Name,
      Node,
      LockDelay: Number.isFinite(LockDelay) ? LockDelay : DEFAULT_LOCK_DELAY_NS,
      Behavior: (Behavior || 'release') as SessionBehavior,
      TTL,
      NodeChecks: NodeChecks ?? null,
      ServiceChecks: ServiceChecks ?? null,
    };
  };

  const requireChecks = (tx: Tx, { Node, NodeChecks, ServiceChecks }: SessionEntity): void => {
    for (const check of [...(NodeChecks ?? []), ...(ServiceChecks ?? []).map(({ ID }) => ID)]) {
      const status = catalog.check(tx, Node, check);
      if (status === undefined) throw rejected(`Missing check '${check}' registration`);
      if (status === 'critical') throw rejected(`Check '${check}' is in ${status} state`);
    }
  };

  /** Lets go of some locks of a session that ends; true when there are more. */
  const letGo = (tx: Tx, { ID, Behavior, LockDelay }: EndingEntity, limit: number): boolean => {
    const step = new EntryStep(tx, tables);
    const Ms = Math.min(LockDelay / 1e6, MAX_LOCK_DELAY_MS);
    const held = tables.entries.by('session', ID);
    let characters = 0;
    let done = 0;
    for (const { key } of held) {
      const value = step.get(key)?.value;
      if (value?.Session !== ID) continue;
      characters += value.Value.length;
      if (done > 0 && (done >= limit || characters > STEP_CHARACTERS)) return true;
      if (Behavior === 'delete') step.delete(key);
      else step.put({ ...value, Session: '' });
      if (Ms > 0) tx.put(tables.delays, { Key: key, Ms });
      done += 1;
    }
    return false;
  };

  /** One step of the end of a session; true when another one is needed. */
  const endStep = (tx: Tx, id: string): boolean => {
    const session = tx.get(tables.sessions, id);
    const begun = tx.get(tables.endings, id);
    const ending = session ?? begun;
    if (ending === undefined) return false;
    tx.get(tables.holds, id); // a lock that is taken meanwhile makes this step begin again
    const more = letGo(tx, ending, STEP_LOCKS);
    if (session !== undefined) {
      tx.delete(tables.sessions, id);
      tx.delete(tables.holds, id);
    }
    const { ID, LockDelay, Behavior } = ending;
    if (more && begun === undefined) tx.put(tables.endings, { ID, LockDelay, Behavior });
    if (!more && begun !== undefined) tx.delete(tables.endings, id);
    return more;
  };

  const end = async (where: Pick<Store, 'transact'>, id: string): Promise<void> => {
    while ((await where.transact((tx) => endStep(tx, id))).result);
  };

  return {
    reads: {
      'sessions.list': { topics: ofTable, produce: () => tables.sessions.list().map(sessionForm) },
      'sessions.info': {
        topics: ofTable,
        produce({ id }) {
          const row = tables.sessions.get(requireSessionId(id));
          return row === undefined ? [] : [sessionForm(row)];
        },
      },
      'sessions.node': {
        topics: ofTable,
        produce: ({ node }) => tables.sessions.by('node', node.toLowerCase()).map(sessionForm),
      },
    },
    writes: {
      async 'sessions.create'(args) {
        const wanted = validate(args);
        const { result: session } = await store.transact((tx) => {
          const Node = catalog.node(tx, wanted.Node);
          if (Node === undefined) throw rejected('Missing node registration');
          const entity = { ...wanted, Node };
          requireChecks(tx, entity);
          tx.put(tables.sessions, entity);
          return entity;
        });
        return { ID: session.ID };
      },
      async 'sessions.destroy'({ id }) {
        if (id === '') throw rejected('Must provide ID');
        await end(store, requireSessionId(id));
        return true;
      },
      async 'sessions.renew'({ id }) {
        const key = requireSessionId(id);
        if (tables.sessions.get(key) === undefined) await store.sync(); // another server may have made it just now
        const row = tables.sessions.get(key);
        if (row === undefined) return [];
        deps.renewed(row.value);
        return [sessionForm(row)];
      },
    },
    end,
    endWithin(tx, id) {
      if (endStep(tx, id)) throw rejected(`session ${id} holds too many locks to be deleted in a transaction`);
    },
  };
}

function sessionForm({ value, createRevision, modRevision }: Stored<SessionEntity>): Session {
  return { ...value, CreateIndex: createRevision, ModifyIndex: modRevision };
}
