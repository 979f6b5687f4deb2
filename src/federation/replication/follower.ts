import { Backoff } from '../../lib/backoff.ts';
import { ageOf, type Clock, type Moment, momentOf } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { type LinkedSignal, linkSignals, sleep, throwIfAborted } from '../../lib/signals.ts';
import type { KindReplication, ReplicationState } from '../../model/replication.ts';
import type { ChangeSource, ChangesCursor, ChangesMessage, RowDelta } from '../../rpc/contract/changes.ts';
import type { Store } from '../../store/store.ts';
import type { Logger } from '../../telemetry/types.ts';
import { Applier } from './applier.ts';
import { Inbox } from './inbox.ts';
import type { ReplicatedKind } from './kinds.ts';
import { proofOf } from './proof.ts';
import type { ReplicaTables, StoredCursor } from './replica-tables.ts';
import { diffSnapshot, refuseMassDelete } from './snapshot.ts';
import { Waiters } from './waiters.ts';

export interface ReplicationTimings {
  /**
   * Silence after which replication counts as stalled, milliseconds. Default 10,000; a source is never silent for
   * 2,500.
   */
  readonly stalledMs: number;
  /** Pause before a source that was refused is asked again, milliseconds. Default 5,000. */
  readonly refusedMs: number;
  /** Longest pause before a broken stream is asked for again, milliseconds. Default 3,000. */
  readonly reconnectMs: number;
}

export interface FollowerDeps {
  readonly kind: ReplicatedKind;
  readonly source: ChangeSource;
  readonly sourceDatacenter: string;
  /** Writes as the datacenter's leader. */
  readonly store: Pick<Store, 'transact'>;
  readonly tables: ReplicaTables;
  readonly clock: Clock;
  readonly log: Logger;
  readonly timings: ReplicationTimings;
}

/** When this many rows wait to be written, no more are read: the source waits. */
const MAX_PENDING_ROWS = 50_000;

/** One stream from the source, from asking for it to its end. */
interface Session {
  readonly startedAt: number;
  readonly life: LinkedSignal;
  readonly inbox: Inbox;
  /** True: the operator has said that whatever the source holds is right. */
  readonly accepting: boolean;
  /** What was asked to go on from. */
  readonly cursor: StoredCursor | undefined;
  /** Set by the first message. */
  epoch: string | undefined;
  /** Rows so far, while a snapshot is coming. */
  snapshot: Map<string, RowDelta> | undefined;
  /** True: a snapshot is a later state of what is here, so whatever it lacks was deleted by somebody. */
  trusted: boolean;
}

/** Follows one table of another datacenter. */
export class Follower {
  readonly #deps: FollowerDeps;
  readonly #applier: Applier;
  readonly #waiters = new Waiters();
  #state: ReplicationState = 'connecting';
  #reason = '';
  #lastError = '';
  #lastErrorAt = 0;
  /** Newest revision of the source that was applied, and that is known of. */
  #applied = 0;
  #known = 0;
  /** When a message last came, and when everything known was last applied; at first, when this began to follow. */
  #heard: Moment;
  #inSync: Moment;
  #everInSync = false;
  #session: Session | undefined;
  #hurry: (() => void) | undefined;
  #accept = false;
  /** True: ask again without a pause. */
  #hasty = false;

  constructor(deps: FollowerDeps) {
    this.#deps = deps;
    const { store, tables, kind, clock } = deps;
    this.#applier = new Applier({ store, tables, kind, now: () => clock.now() });
    this.#heard = momentOf(clock);
    this.#inSync = this.#heard;
  }

  get name(): string {
    return this.#deps.kind.name;
  }

  status(): KindReplication {
    const { sourceDatacenter } = this.#deps;
    return {
      Kind: this.name,
      State: this.#state,
      Reason: this.#reason,
      SourceDatacenter: sourceDatacenter,
      AppliedRevision: this.#applied,
      SourceRevision: this.#known,
      LagRevisions: Math.max(0, this.#known - this.#applied),
      LagSeconds: this.ageMs() / 1_000,
      LastError: this.#lastError,
      LastErrorAt: this.#lastErrorAt === 0 ? '' : new Date(this.#lastErrorAt).toISOString(),
      LastSuccess: !this.#everInSync ? '' : new Date(this.#inSync.at).toISOString(),
      Quarantined: this.#applier.quarantined.map(({ value }) => ({
        Key: value.key,
        Revision: value.revision,
        Error: value.error,
        Since: new Date(value.since).toISOString(),
      })),
    };
  }

  /** How old what is here may be, milliseconds; 0 while everything known of the source is applied. */
  ageMs(): number {
    const { clock, timings } = this.#deps;
    const silent = ageOf(clock, this.#heard) > timings.stalledMs / 2;
    const inSync = this.#state === 'following' && this.#applied >= this.#known && !silent;
    return inSync ? 0 : ageOf(clock, this.#inSync);
  }

  /** Resolves once this datacenter shows everything that the source had at `revision`. */
  waitApplied(revision: number, signal: AbortSignal): Promise<void> {
    return this.#waiters.wait(revision, this.#applied, signal);
  }

  /** Takes the source's store as it is, once, even if it is older or another one. */
  acceptSource(): void {
    this.#accept = true;
    this.#hasty = this.#session !== undefined;
    this.#session?.life.abort(new IsthmusError('cancelled', 'starting over'));
    this.#hurry?.();
  }

  /** Follows until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, timings } = this.#deps;
    const backoff = new Backoff({ baseMs: 50, maxMs: timings.reconnectMs });
    const revision = this.#applier.cursor?.revision ?? 0;
    this.#heard = momentOf(clock);
    // What was in sync when this server followed last is as old as that, unless another server has followed since.
    if (!this.#everInSync || revision > this.#applied) {
      this.#inSync = this.#heard;
      this.#everInSync = false;
    }
    this.#applied = revision;
    this.#known = revision;
    this.#become('connecting', '');
    while (!signal.aborted) {
      try {
        await this.#follow(signal, () => backoff.reset());
      } catch (thrown) {
        if (signal.aborted) return;
        const error = IsthmusError.from(thrown);
        this.#failed(error.message);
        if (this.#state === 'following' || this.#state === 'snapshot') {
          this.#deps.log.info('replication interrupted', { kind: this.name, reason: error.message });
          this.#become('connecting', '');
        }
      }
      if (this.#hasty) {
        this.#hasty = false;
        continue;
      }
      await this.#pause(this.#state === 'refused' ? timings.refusedMs : backoff.next(), signal);
    }
  }

  /** Looks whether the source has been silent for too long; called every second or so. */
  watch(): void {
    const { clock, timings, sourceDatacenter } = this.#deps;
    if (ageOf(clock, this.#heard) < timings.stalledMs || this.#state === 'refused') return;
    const since = new Date(this.#heard.at).toISOString();
    this.#become('stalled', `nothing heard from datacenter "${sourceDatacenter}" since ${since}`);
    const session = this.#session; // one that was just asked for may take its time
    if (session !== undefined && clock.steady() - session.startedAt >= timings.stalledMs) {
      this.#hasty = true; // it may have waited for a link, which may come up at any moment
      session.life.abort(new IsthmusError('unavailable', 'the source is silent'));
    }
  }

  async #follow(signal: AbortSignal, progress: () => void): Promise<void> {
    const { source, kind, clock } = this.#deps;
    const accepting = this.#accept;
    const cursor = this.#applier.cursor;
    const life = linkSignals(signal);
    const startedAt = clock.steady();
    const session: Session = {
      startedAt,
      life,
      inbox: new Inbox(),
      accepting,
      cursor,
      epoch: undefined,
      snapshot: undefined,
      trusted: accepting,
    };
    this.#session = session;
    let writing: Promise<void> | undefined;
    try {
      const request = cursor === undefined || accepting ? {} : { cursor: toWire(cursor) };
      for await (const message of source.changes({ kind: kind.name, ...request }, life.signal)) {
        this.#heard = momentOf(clock);
        if (message.type === 'begin') {
          if (!this.#begin(session, message)) return;
        } else if (message.type === 'snapshot') {
          for (const row of message.changes) session.snapshot?.set(row.key, row);
        } else if (message.type === 'snapshotEnd') {
          if (!(await this.#takeSnapshot(session, message.revision))) return;
        } else {
          session.inbox.push(message.type === 'changes' ? message.changes : [], message.revision);
          if (message.revision > this.#known) this.#known = message.revision;
          writing ??= this.#writeAll(session).catch((error: unknown) => life.abort(IsthmusError.from(error)));
          if (session.inbox.size > MAX_PENDING_ROWS) await session.inbox.emptied(life.signal);
          progress();
        }
      }
      throwIfAborted(life.signal);
      throw new IsthmusError('unavailable', 'the source ended the stream');
    } finally {
      life.abort(new IsthmusError('cancelled', 'the stream has ended'));
      life.release();
      await writing;
      this.#session = undefined;
    }
  }

  /** False when the source is not to be followed. */
  #begin(session: Session, message: Extract<ChangesMessage, { type: 'begin' }>): boolean {
    const { epoch, revision, diverged = false } = message;
    const { sourceDatacenter: source } = this.#deps;
    const { cursor, accepting } = session;
    if (cursor !== undefined && cursor.epoch === epoch && !accepting) {
      const newest = Math.max(this.#applied, this.#known);
      if (revision < newest) {
        this.#refuse(
          `the store of datacenter "${source}" went back in time: it is at revision ${revision}, but revision ` +
            `${newest} ` +
            'was seen here; restore the right store there, or accept this one',
        );
        return false;
      }
      if (diverged) {
        this.#refuse(
          `the store of datacenter "${source}" does not hold what was replicated from it before (up to revision ` +
            `${this.#applied}); restore the right store there, or accept this one`,
        );
        return false;
      }
    } else if (cursor?.epoch !== epoch || accepting) this.#applied = 0;
    session.epoch = epoch;
    session.trusted ||= cursor?.epoch === epoch && message.proven === true;
    this.#known = revision;
    if (message.snapshot) {
      session.snapshot = new Map();
      if (this.#state !== 'refused') this.#become('snapshot', ''); // a refused source may be refused again
    } else this.#become('following', '');
    return true;
  }

  async #takeSnapshot(session: Session, revision: number): Promise<boolean> {
    const { kind, sourceDatacenter, log } = this.#deps;
    const rows = session.snapshot ?? new Map<string, RowDelta>();
    session.snapshot = undefined;
    const quarantined = new Set(this.#applier.quarantined.map(({ value }) => value.key));
    const { changes, deletes } = diffSnapshot(kind.table, rows, quarantined, revision);
    const refusal = session.trusted
      ? undefined
      : refuseMassDelete(sourceDatacenter, kind.table.size, rows.size, deletes);
    if (refusal !== undefined) {
      this.#refuse(refusal);
      return false;
    }
    this.#accept &&= !session.accepting;
    await this.#write(session, changes, revision, proofOf([...rows.values()]));
    log.info('replication snapshot applied', { kind: this.name, rows: rows.size, changed: changes.length, deletes });
    this.#become('following', '');
    return true;
  }

  async #writeAll(session: Session): Promise<void> {
    for (;;) {
      const { changes, revision } = await session.inbox.take(session.life.signal);
      await this.#write(session, changes, revision, proofOf(changes) ?? this.#applier.cursor?.proof);
    }
  }

  async #write(
    session: Session,
    changes: readonly RowDelta[],
    revision: number,
    proof: StoredCursor['proof'],
  ): Promise<void> {
    const { log } = this.#deps;
    const cursor: StoredCursor | undefined =
      revision === 0
        ? undefined
        : { kind: this.name, epoch: session.epoch ?? '', revision, ...(proof === undefined ? {} : { proof }) };
    const known = new Map(this.#applier.quarantined.map(({ value }) => [value.key, value.error]));
    const { refused } = await this.#applier.apply(changes, cursor, session.life.signal);
    for (const { key, error } of refused)
      if (known.get(key) !== error) log.warn('entry quarantined', { kind: this.name, key, reason: error });
    if (revision === 0) return;
    this.#applied = revision;
    if (this.#applied >= this.#known) {
      this.#inSync = momentOf(this.#deps.clock);
      this.#everInSync = true;
    }
    this.#waiters.advance(revision);
  }

  #failed(why: string): void {
    this.#lastError = why;
    this.#lastErrorAt = this.#deps.clock.now();
  }

  #refuse(reason: string): void {
    if (this.#reason !== reason) this.#deps.log.error('replication refused', { kind: this.name, reason });
    this.#failed(reason);
    this.#become('refused', reason);
  }

  #become(state: ReplicationState, reason: string): void {
    if (state === 'stalled' && this.#state !== 'stalled')
      this.#deps.log.warn('replication stalled', { kind: this.name, reason });
    if (state === 'following' && this.#state !== 'following') {
      this.#lastError = '';
      this.#deps.log.info('replication follows', { kind: this.name });
    }
    this.#state = state;
    this.#reason = reason;
  }

  async #pause(ms: number, signal: AbortSignal): Promise<void> {
    const linked = linkSignals(signal);
    this.#hurry = () => linked.abort();
    // hurried, or the caller looks at its signal
    await sleep(this.#deps.clock, ms, linked.signal).catch(() => undefined);
    this.#hurry = undefined;
    linked.release();
  }
}

function toWire({ epoch, revision, proof }: StoredCursor): ChangesCursor {
  return proof === undefined ? { epoch, revision } : { epoch, revision, proof };
}
