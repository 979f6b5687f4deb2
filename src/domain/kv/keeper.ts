import type { Clock, Timer } from '../../lib/clock.ts';
import type { TaskGroup } from '../../lib/task.ts';
import { Trigger } from '../../lib/trigger.ts';
import type { Store } from '../../store/store.ts';
import type { Logger } from '../../telemetry/types.ts';
import type { StoredKey } from './keys.ts';
import { type Sessions, ttlOf } from './sessions.ts';
import { checkRef, checksOf, type KvTables, type LockDelayEntity, type SessionEntity } from './tables.ts';

/** What the keeper follows of the catalog: what has changed of nodes and checks, and how they are now. */
export interface KeptCatalog {
  /** Names of the tables. */
  readonly nodes: string;
  readonly checks: string;
  hasNode(name: string): boolean;
  /** Undefined when there is no such check. */
  status(node: string, checkId: string): string | undefined;
  /** Node and check ID of a row of the checks. */
  checkOf(entity: unknown): { readonly node: string; readonly checkId: string };
  nodeOf(entity: unknown): string;
}

export interface KeeperDeps {
  readonly store: Store;
  readonly tables: KvTables;
  readonly sessions: Sessions;
  readonly catalog: KeptCatalog;
  readonly clock: Clock;
  readonly log: Logger;
}

/** As Consul: a session lapses between its TTL and twice that after it was renewed last. */
const TTL_FACTOR = 2;
/** A timer this late, milliseconds, says that this process stood still, and no one could renew anything meanwhile. */
const STOOD_STILL_MS = 1_000;
/** Lock delays that one step ends, and sessions that are ended at once. */
const STEP_DELAYS = 256;
const SESSIONS_AT_ONCE = 64;

interface Deadline {
  readonly ttlMs: number;
  /** By the steady clock. */
  at: number;
  timer: Timer;
}

/**
 * What the leader does for sessions and locks: ends sessions whose time is up, whose node is gone or whose check fails,
 * goes on with those that were not ended whole, and ends lock delays. All of it by the steady clock.
 */
export class SessionKeeper {
  readonly #deps: KeeperDeps;
  readonly #deadlines = new Map<string, Deadline>();
  /** When this server first saw each lock delay: what has passed of it counts for a new leader too. */
  readonly #delaysSeen = new Map<StoredKey, number>();
  readonly #delayTimers = new Map<StoredKey, Timer>();
  /** What is to be done, and why; what failed stays. */
  readonly #ending = new Map<string, string>();
  readonly #over = new Set<StoredKey>();
  readonly #work = new Trigger();
  #tasks: TaskGroup | undefined;

  constructor(deps: KeeperDeps) {
    this.#deps = deps;
    const { store, tables } = deps;
    store.onCommit(({ changes }) => {
      for (const { table, key, before, after } of changes) {
        if (table === tables.delays.spec.name) this.#sawDelay(key, after?.value as LockDelayEntity | undefined);
        else if (this.#tasks !== undefined) this.#changed(table, before?.value, after?.value);
      }
    });
  }

  /** Begins as the leader; ends with the tasks. @param where a fenced store */
  lead(where: Pick<Store, 'transact'>, tasks: TaskGroup): void {
    const { tables, clock } = this.#deps;
    this.#tasks = tasks;
    tasks.signal.addEventListener('abort', () => this.#resign(tasks), { once: true });
    for (const { value } of tables.sessions.list()) {
      this.#arm(value);
      this.#endIfLost(value);
    }
    for (const { value } of tables.endings.list()) this.#end(value.ID, 'was being ended');
    for (const { key, value } of tables.delays.list()) this.#armDelay(key, value);
    tasks.loop('sessions and lock delays', { backoff: { baseMs: 50, maxMs: 2_000 } }, async (signal, progress) => {
      for (;;) {
        await this.#endSessions(where);
        await this.#endDelays(where);
        progress();
        if (this.#ending.size === 0 && this.#over.size === 0) await this.#work.wait(clock, undefined, signal);
      }
    });
  }

  /** A session was renewed: its time begins anew. Nothing happens on a server that does not lead. */
  renewed(session: SessionEntity): void {
    const deadline = this.#deadlines.get(session.ID);
    if (deadline === undefined) {
      if (this.#tasks !== undefined && this.#deps.tables.sessions.get(session.ID) !== undefined) this.#arm(session);
    } else deadline.at = this.#deps.clock.steady() + deadline.ttlMs * TTL_FACTOR;
  }

  /** Sessions whose time is counted here. */
  get counted(): number {
    return this.#deadlines.size;
  }

  #resign(tasks: TaskGroup): void {
    if (this.#tasks !== tasks) return;
    this.#tasks = undefined;
    for (const { timer } of this.#deadlines.values()) timer.cancel();
    for (const timer of this.#delayTimers.values()) timer.cancel();
    this.#deadlines.clear();
    this.#delayTimers.clear();
    this.#ending.clear();
    this.#over.clear();
  }

  #changed(table: string, before: unknown, after: unknown): void {
    const { tables, catalog } = this.#deps;
    if (table === tables.sessions.spec.name) {
      if (after === undefined) this.#disarm((before as SessionEntity).ID);
      else {
        const session = after as SessionEntity;
        if (before === undefined) this.#arm(session);
        this.#endIfLost(session); // its check may have failed while it was being made
      }
    } else if (table === catalog.checks) {
      const { node, checkId } = catalog.checkOf(after ?? before);
      for (const { value } of tables.sessions.by('check', checkRef(node, checkId))) this.#endIfLost(value);
    } else if (table === catalog.nodes && after === undefined) {
      for (const { value } of tables.sessions.by('node', catalog.nodeOf(before).toLowerCase())) this.#endIfLost(value);
    }
  }

  #endIfLost(session: SessionEntity): void {
    const { catalog } = this.#deps;
    if (!catalog.hasNode(session.Node)) {
      this.#end(session.ID, 'its node is gone');
      return;
    }
    for (const check of checksOf(session)) {
      const status = catalog.status(session.Node, check);
      if (status === undefined || status === 'critical') {
        this.#end(session.ID, `its check ${check} is ${status ?? 'gone'}`);
        return;
      }
    }
  }

  #end(id: string, why: string): void {
    if (this.#tasks === undefined || this.#ending.has(id)) return;
    this.#ending.set(id, why);
    this.#work.fire();
  }

  async #endSessions(where: Pick<Store, 'transact'>): Promise<void> {
    const { sessions, log } = this.#deps;
    while (this.#ending.size > 0) {
      const some = [...this.#ending].slice(0, SESSIONS_AT_ONCE);
      const ends = some.map(async ([id, why]) => {
        await sessions.end(where, id);
        if (this.#ending.delete(id)) log.info('session ended', { session: id, why });
      });
      const failed = (await Promise.allSettled(ends)).find((end) => end.status === 'rejected');
      if (failed !== undefined) throw failed.reason;
    }
  }

  #arm(session: SessionEntity): void {
    const ttlMs = ttlOf(session);
    if (ttlMs === 0 || this.#deadlines.has(session.ID)) return;
    const { clock } = this.#deps;
    const wait = ttlMs * TTL_FACTOR;
    const deadline: Deadline = {
      ttlMs,
      at: clock.steady() + wait,
      timer: clock.after(wait, () => this.#due(session.ID, deadline)),
    };
    this.#deadlines.set(session.ID, deadline);
  }

  #due(id: string, deadline: Deadline): void {
    const { clock } = this.#deps;
    const left = deadline.at - clock.steady();
    if (left > 0) deadline.timer = clock.after(left, () => this.#due(id, deadline));
    else if (-left > STOOD_STILL_MS) {
      deadline.at = clock.steady() + deadline.ttlMs;
      deadline.timer = clock.after(deadline.ttlMs, () => this.#due(id, deadline));
    } else this.#end(id, 'it was not renewed within its TTL');
  }

  #disarm(id: string): void {
    this.#deadlines.get(id)?.timer.cancel();
    this.#deadlines.delete(id);
  }

  #sawDelay(key: StoredKey, delay: LockDelayEntity | undefined): void {
    this.#delayTimers.get(key)?.cancel();
    this.#delayTimers.delete(key);
    if (delay === undefined) {
      this.#delaysSeen.delete(key);
      return;
    }
    this.#delaysSeen.set(key, this.#deps.clock.steady());
    if (this.#tasks !== undefined) this.#armDelay(key, delay);
  }

  #armDelay(key: StoredKey, { Ms }: LockDelayEntity): void {
    const { clock } = this.#deps;
    const seen = this.#delaysSeen.get(key) ?? clock.steady();
    const left = Math.max(0, seen + Ms - clock.steady());
    this.#delayTimers.set(
      key,
      clock.after(left, () => {
        this.#over.add(key);
        this.#work.fire();
      }),
    );
  }

  async #endDelays(where: Pick<Store, 'transact'>): Promise<void> {
    const { clock, tables } = this.#deps;
    const isOver = (key: StoredKey, { Ms }: LockDelayEntity): boolean =>
      (this.#delaysSeen.get(key) ?? 0) + Ms <= clock.steady();
    while (this.#over.size > 0) {
      const some = [...this.#over].slice(0, STEP_DELAYS);
      await where.transact((tx) => {
        for (const key of some) {
          const delay = tx.get(tables.delays, key);
          if (delay !== undefined && isOver(key, delay)) tx.delete(tables.delays, key);
        }
      });
      for (const key of some) {
        this.#over.delete(key);
        const left = tables.delays.get(key)?.value;
        if (left !== undefined) this.#armDelay(key, left); // another one has begun, or the timer was early
      }
    }
  }
}
