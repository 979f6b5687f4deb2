import type { Clock } from '../lib/clock.ts';
import { IsthmusError } from '../lib/errors.ts';
import type { Service } from '../lib/service.ts';
import { abortable, withDeadline } from '../lib/signals.ts';
import { createTaskGroup, type TaskGroup, type TaskGroupDeps } from '../lib/task.ts';
import { Trigger } from '../lib/trigger.ts';
import type { Counter, Logger, Metrics } from '../telemetry/types.ts';
import { type HeldLease, holdLease } from './held-lease.ts';
import type { Store } from './store.ts';
import type { Table } from './table.ts';

/** Who leads. One row, which is attached to the leader's lease and is never written again while it leads. */
export interface LeaderRow {
  /** Node ID and name of the server. */
  readonly id: string;
  readonly node: string;
  /** One run of the server's process. */
  readonly instance: string;
  /** When it began to lead, milliseconds since 1970 by its clock. */
  readonly since: number;
}

export interface Leader extends LeaderRow {
  /** Higher with each change of the leader: revision of its row, which is the fence of all it writes. */
  readonly term: number;
}

/**
 * - idle: not started, or stopped
 * - following: another server leads, or none does
 * - leading: this server's row is in the store and its lease is kept
 * - resigning: no longer leading; what was done as the leader is being stopped
 */
export type LeadershipState = 'idle' | 'following' | 'leading' | 'resigning';

export interface LeadershipDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly id: string;
  readonly node: string;
  /** New in each run of the process. */
  readonly instance: string;
}

export interface LeadershipOptions {
  /** A leader that is not heard of for this long has ceased to lead, milliseconds. Default 10,000. */
  readonly ttlMs?: number;
}

/** Which of the servers of one store does what must be done once. */
export interface Leadership {
  /** Tries to lead once before it has started. Start it right after the store. */
  readonly service: Service;
  readonly state: LeadershipState;
  readonly leading: boolean;
  /** As this server's view shows it. */
  leader(): Leader | undefined;
  /** Called when the leader, or this server's own state, has changed; returns the function that ends it. */
  onChange(listener: () => void): () => void;
  /**
   * Writes as the leader. The step also reads the leader's row, so that the engine refuses what a former leader writes,
   * however late it wakes up. Throws `unavailable` when this server does not lead.
   */
  readonly fenced: Pick<Store, 'transact'>;
  /**
   * Calls `run` now if this server leads, and whenever it begins to; its tasks are stopped when it ceases to.
   * Returns what ends it for good.
   */
  duty(name: string, run: (tasks: TaskGroup) => void, onError?: TaskGroupDeps['onError']): () => Promise<void>;
  /**
   * Gives the lead up and lets others try first; resolves once this server leads no longer. Throws `unavailable` when
   * it does not lead.
   */
  handOver(): Promise<void>;
}

interface Term {
  readonly lease: HeldLease;
  /** Revision of the leader's row: the fence. */
  readonly revision: number;
}

interface Duty {
  readonly run: (tasks: TaskGroup) => void;
  readonly onError: TaskGroupDeps['onError'];
  tasks: TaskGroup | undefined;
}

const LEADER = 'leader';
/** How long the end of a lease is waited for; it ends by itself anyway. Milliseconds. */
const REVOKE_MS = 2_000;

/** Declares a table, so create it before the store is started. */
export function createLeadership(deps: LeadershipDeps, options: LeadershipOptions = {}): Leadership {
  return new LeadershipService(deps, options.ttlMs ?? 10_000);
}

class LeadershipService implements Leadership {
  readonly service: Service;
  readonly fenced: Leadership['fenced'];
  readonly #deps: LeadershipDeps;
  readonly #ttlMs: number;
  readonly #table: Table<LeaderRow>;
  readonly #tasks: TaskGroup;
  readonly #duties = new Set<Duty>();
  readonly #listeners = new Set<() => void>();
  #state: LeadershipState = 'idle';
  #term: Term | undefined;
  readonly #terms: Counter;
  readonly #changed = new Trigger();
  /** Called once this server has handed the lead over. */
  #handedOver: (() => void) | undefined;
  #unhook = (): void => undefined;

  constructor(deps: LeadershipDeps, ttlMs: number) {
    this.#deps = deps;
    this.#ttlMs = ttlMs;
    this.#table = deps.store.table<LeaderRow>({ name: 'leadership', key: () => LEADER });
    this.#tasks = createTaskGroup({
      clock: deps.clock,
      onError: (task, error, retryInMs) => deps.log.warn(`${task} failed`, { error: error.message, retryInMs }),
    });
    this.service = { name: 'leadership', start: () => this.#start(), stop: () => this.#stop() };
    this.fenced = {
      transact: (step, signal) =>
        deps.store.transact((tx) => {
          if (tx.row(this.#table, LEADER)?.modRevision !== this.#fence()) throw notLeading();
          return step(tx);
        }, signal),
    };
    deps.metrics.gauge(
      { name: 'isthmus_leadership_leading', help: '1 while this server leads its datacenter, 0 while another does' },
      (set) => set(this.leading ? 1 : 0),
    );
    this.#terms = deps.metrics.counter({
      name: 'isthmus_leadership_terms_total',
      help: 'Times that this server began to lead its datacenter',
    });
  }

  get state(): LeadershipState {
    return this.#state;
  }

  get leading(): boolean {
    return this.#state === 'leading';
  }

  leader(): Leader | undefined {
    const row = this.#table.get(LEADER);
    return row === undefined ? undefined : { ...row.value, term: row.modRevision };
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  duty(name: string, run: (tasks: TaskGroup) => void, onError = this.#tell(name)): () => Promise<void> {
    const duty: Duty = { run, onError, tasks: undefined };
    this.#duties.add(duty);
    if (this.leading) this.#begin(duty);
    return async () => {
      this.#duties.delete(duty);
      await duty.tasks?.stop();
    };
  }

  handOver(): Promise<void> {
    if (!this.leading) return Promise.reject(notLeading());
    return new Promise((resolve) => {
      const before = this.#handedOver;
      this.#handedOver = () => {
        before?.();
        resolve();
      };
      this.#changed.fire();
    });
  }

  async #start(): Promise<void> {
    this.#unhook = this.#deps.store.onCommit((commit) => {
      if (!commit.changes.some((change) => change.table === this.#table.spec.name)) return;
      this.#changed.fire();
      this.#notify();
    });
    this.#become('following');
    // A row of an earlier run of this process: it has ended, and a fence keeps out what may still come of it.
    const leader = this.leader();
    if (leader === undefined || leader.id === this.#deps.id) await this.#take().catch(() => false); // tried again below
    this.#tasks.loop('leadership', { backoff: { baseMs: 100, maxMs: this.#ttlMs / 2 } }, (signal) =>
      this.#round(signal),
    );
  }

  async #stop(): Promise<void> {
    await this.#tasks.stop();
    await this.#resign();
    this.#handedOver?.();
    this.#unhook();
    this.#become('idle');
  }

  /** Leads until it has lost that, or waits until no server leads and tries to. */
  async #round(signal: AbortSignal): Promise<void> {
    if (this.#term === undefined) {
      await this.#until(() => this.leader() === undefined, signal);
      if (!(await this.#take())) return;
    }
    const { lease, revision } = this.#term as Term;
    lease.lost.addEventListener('abort', () => this.#changed.fire(), { once: true });
    const lost = (): boolean => lease.lost.aborted || this.#table.get(LEADER)?.modRevision !== revision;
    await this.#until(() => lost() || this.#handedOver !== undefined, signal);
    const handedOver = this.#handedOver;
    this.#handedOver = undefined;
    const asked = handedOver !== undefined && !lost();
    this.#deps.log.warn('this server leads no longer', { reason: asked ? 'it was asked to' : reasonOf(lease) });
    await this.#resign();
    handedOver?.();
    if (asked) await this.#letOthersLead(signal);
  }

  /** Waits for another leader, though not for ever: there may be none. */
  async #letOthersLead(signal: AbortSignal): Promise<void> {
    const { clock } = this.#deps;
    const until = clock.now() + this.#ttlMs;
    while (this.leader() === undefined && clock.now() < until)
      await this.#changed.wait(clock, until - clock.now(), signal);
  }

  /** Puts this server's row in the place of the one that its view shows, if that one is still there. */
  async #take(): Promise<boolean> {
    const { store, clock, id, node, instance, log } = this.#deps;
    const before = this.#table.get(LEADER)?.modRevision;
    const lease = await holdLease({ leases: store.leases, clock, tasks: this.#tasks }, this.#ttlMs);
    try {
      const { changed, revision } = await store.transact((tx) => {
        if (tx.row(this.#table, LEADER)?.modRevision !== before) return;
        tx.put(this.#table, { id, node, instance, since: clock.now() }, lease.id);
      });
      if (!changed || lease.lost.aborted) {
        await lease.release();
        return false;
      }
      this.#term = { lease, revision };
    } catch (error) {
      await lease.release();
      throw error;
    }
    this.#terms.add();
    log.info('this server leads', {});
    this.#become('leading');
    for (const duty of this.#duties) this.#begin(duty);
    return true;
  }

  /** Stops what was done as the leader, then lets another lead. */
  async #resign(): Promise<void> {
    const term = this.#term;
    if (term === undefined) return;
    this.#become('resigning');
    this.#term = undefined; // from here on nothing is written as the leader
    await Promise.all([...this.#duties].map((duty) => this.#end(duty)));
    const limit = withDeadline(this.#deps.clock, REVOKE_MS, 'giving up the lease');
    await abortable(term.lease.release(), limit.signal).catch(() => undefined);
    limit.release();
    this.#become('following');
  }

  #begin(duty: Duty): void {
    duty.tasks = createTaskGroup({ clock: this.#deps.clock, onError: duty.onError });
    duty.run(duty.tasks);
  }

  async #end(duty: Duty): Promise<void> {
    await duty.tasks?.stop();
    duty.tasks = undefined;
  }

  #tell(duty: string): TaskGroupDeps['onError'] {
    return (task, error, retryInMs) => this.#deps.log.warn(`${task} failed`, { duty, error: error.message, retryInMs });
  }

  #fence(): number {
    if (this.#term === undefined || this.#term.lease.lost.aborted) throw notLeading();
    return this.#term.revision;
  }

  async #until(condition: () => boolean, signal: AbortSignal): Promise<void> {
    while (!condition()) await this.#changed.wait(this.#deps.clock, undefined, signal);
  }

  #become(state: LeadershipState): void {
    if (this.#state === state) return;
    this.#state = state;
    this.#notify();
  }

  #notify(): void {
    for (const listener of this.#listeners) listener();
  }
}

function reasonOf({ lost }: HeldLease): string {
  return lost.aborted ? IsthmusError.from(lost.reason).message : 'its row was taken away';
}

function notLeading(): IsthmusError {
  return new IsthmusError('unavailable', 'this server does not lead the datacenter; try again');
}
