import type { Clock, Timer } from '../../lib/clock.ts';
import { hasCode, IsthmusError } from '../../lib/errors.ts';
import { linkSignals, throwIfAborted } from '../../lib/signals.ts';
import { turn } from '../../lib/turn.ts';
import type {
  ChangeProof,
  ChangeSource,
  ChangesMessage,
  ChangesRequest,
  RowDelta,
} from '../../rpc/contract/changes.ts';
import type { Commit, Engine } from '../../store/engine.ts';
import type { AppliedCommit, Store } from '../../store/store.ts';
import type { ReplicaTable, ReplicatedKind } from './kinds.ts';
import { digestOf } from './proof.ts';

export interface ChangeSourceDeps {
  readonly datacenter: string;
  readonly store: Store;
  /** The store's engine: what it still holds of its history lets readers go on where they were. */
  readonly history: Pick<Engine, 'watch'>;
  readonly kinds: readonly Pick<ReplicatedKind, 'name' | 'table'>[];
  readonly clock: Clock;
}

/** Rows in one message at most, and the size from which on a message is sent, bytes. */
const MAX_ROWS = 1_000;
const MAX_BYTES = 512 * 1024;
/** Commits that don't touch the table are reported after this time, milliseconds, all at once. */
const PROGRESS_MS = 100;
/** Longest silence, milliseconds. */
const HEARTBEAT_MS = 2_000;

/** Sends this datacenter's tables to those who replicate them. */
export function createChangeSource(deps: ChangeSourceDeps): ChangeSource {
  const kinds = new Map(deps.kinds.map((kind) => [kind.name, kind.table]));
  return {
    changes(request, signal) {
      const table = kinds.get(request.kind);
      if (table === undefined)
        throw new IsthmusError('not_found', `datacenter "${deps.datacenter}" does not replicate "${request.kind}"`);
      return follow(deps, table, request, signal);
    },
  };
}

async function* follow(
  deps: ChangeSourceDeps,
  table: ReplicaTable,
  { cursor }: ChangesRequest,
  signal: AbortSignal,
): AsyncGenerator<ChangesMessage> {
  const { store, datacenter } = deps;
  await store.sync(signal); // the reader may have followed a server that was ahead of this one
  const live = new LiveChanges(deps, table); // before anything is read, so that no commit falls in between
  const unhook = live.wakeOn(signal);
  try {
    const revision = store.revision;
    const begin = { type: 'begin', epoch: store.epoch, revision, datacenter } as const;
    let backlog: AsyncGenerator<Commit> | undefined;
    let proven = false;
    if (cursor !== undefined && cursor.epoch === store.epoch) {
      const verdict = await verify(deps, table, cursor.proof, signal);
      if (cursor.revision > revision || verdict === 'diverged') {
        yield { ...begin, snapshot: false, diverged: true };
        return;
      }
      proven = verdict === 'held';
      if (proven) backlog = await readBacklog(deps, cursor.revision + 1, revision, signal);
    }
    if (backlog === undefined) {
      const rows = table.list(); // not changed by later commits
      const at = store.revision;
      live.drop(at);
      yield { ...begin, revision: at, snapshot: true, proven };
      for (const changes of chunks(rows.map(toDelta))) yield { type: 'snapshot', changes };
      yield { type: 'snapshotEnd', revision: at };
    } else {
      yield { ...begin, snapshot: false, proven }; // what was committed since is in `live`
      for await (const commit of backlog) {
        const changes = deltasOf(commit, table.prefix);
        if (changes.length > 0) yield* batches(changes, commit.revision);
      }
      yield { type: 'progress', revision };
    }
    for (;;) {
      const { changes, revision: upTo } = await live.next(signal);
      if (changes.length === 0) yield { type: 'progress', revision: upTo };
      else yield* batches(changes, upTo);
    }
  } finally {
    unhook();
    live.stop();
  }
}

/**
 * Whether a reader's proof is part of this history: 'held' when it is, 'diverged' when it is not, 'unknown' when what
 * would tell has been compacted away.
 */
async function verify(
  deps: ChangeSourceDeps,
  table: ReplicaTable,
  proof: ChangeProof | undefined,
  signal: AbortSignal,
): Promise<'held' | 'diverged' | 'unknown'> {
  if (proof === undefined) return 'held';
  const row = table.get(proof.key);
  if (row !== undefined && row.modRevision === proof.revision)
    return digestOf(JSON.stringify(row.value)) === proof.digest ? 'held' : 'diverged';
  if ((row !== undefined && row.modRevision < proof.revision) || proof.revision > deps.store.revision)
    return 'diverged';
  const linked = linkSignals(signal);
  try {
    const commits = deps.history.watch({
      prefix: '',
      fromRevision: proof.revision,
      signal: linked.signal,
      progress: true, // when nothing was committed from there on, that is reported too
    });
    for await (const commit of commits) {
      if (commit.revision !== proof.revision) return 'diverged';
      const change = commit.changes.find(({ key }) => key === table.prefix + proof.key);
      if (change === undefined) return 'diverged';
      const digest = digestOf(change.type === 'put' ? JSON.stringify(JSON.parse(change.value)) : undefined);
      return digest === proof.digest ? 'held' : 'diverged';
    }
    throwIfAborted(signal);
    return 'unknown';
  } catch (error) {
    if (hasCode(error, 'compacted')) return 'unknown';
    throw error;
  } finally {
    linked.abort();
    linked.release();
  }
}

/** The commits from `from` to `to`; undefined when the store no longer holds them all. */
async function readBacklog(
  deps: ChangeSourceDeps,
  from: number,
  to: number,
  signal: AbortSignal,
): Promise<AsyncGenerator<Commit> | undefined> {
  const commits = backlogOf(deps, from, to, signal);
  try {
    const first = await commits.next();
    return prepend(first, commits);
  } catch (error) {
    if (hasCode(error, 'compacted')) return undefined;
    throw error;
  }
}

async function* backlogOf(
  deps: ChangeSourceDeps,
  from: number,
  to: number,
  signal: AbortSignal,
): AsyncGenerator<Commit> {
  if (from > to) return;
  const linked = linkSignals(signal);
  try {
    // All tables: a commit of another one may be the last, and tells that there is nothing more to wait for.
    const query = { prefix: '', fromRevision: from, signal: linked.signal, progress: true };
    for await (const commit of deps.history.watch(query)) {
      if (commit.revision > to) return;
      yield commit;
      if (commit.revision === to) return;
    }
  } finally {
    linked.abort();
    linked.release();
  }
}

async function* prepend(first: IteratorResult<Commit, void>, rest: AsyncGenerator<Commit>): AsyncGenerator<Commit> {
  try {
    if (first.done === true) return;
    yield first.value;
    yield* rest;
  } finally {
    await rest.return(undefined);
  }
}

/** What was committed and not yet sent; a row that changes again before it is sent is sent once. */
class LiveChanges {
  readonly #clock: Clock;
  readonly #store: Store;
  readonly #epoch: string;
  readonly #changes = new Map<string, RowDelta>();
  readonly #unsubscribe: () => void;
  #revision: number;
  /** True when the timer is armed to tell progress, not just for the heartbeat. */
  #soon = false;
  #timer: Timer;
  #due = false;
  #wake: (() => void) | undefined;

  constructor(deps: ChangeSourceDeps, table: ReplicaTable) {
    this.#clock = deps.clock;
    this.#store = deps.store;
    this.#epoch = deps.store.epoch;
    this.#revision = deps.store.revision;
    this.#timer = this.#clock.after(HEARTBEAT_MS, () => this.#tell());
    this.#unsubscribe = deps.store.onCommit((commit) => this.#onCommit(commit, table.spec.name));
  }

  wakeOn(signal: AbortSignal): () => void {
    const onAbort = (): void => this.#wake?.();
    signal.addEventListener('abort', onAbort, { once: true });
    return () => signal.removeEventListener('abort', onAbort);
  }

  /** Forgets changes that were sent in another way. */
  drop(upTo: number): void {
    for (const [key, change] of this.#changes) if (change.revision <= upTo) this.#changes.delete(key);
  }

  async next(signal: AbortSignal): Promise<{ changes: readonly RowDelta[]; revision: number }> {
    while (this.#changes.size === 0 && !this.#due) {
      throwIfAborted(signal);
      this.#checkHistory();
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
    await turn(); // commits that share a disk sync come one after the other: they make one message
    throwIfAborted(signal);
    this.#checkHistory();
    const changes = [...this.#changes.values()];
    this.#changes.clear();
    this.#due = false;
    this.#soon = false;
    this.#arm(HEARTBEAT_MS);
    return { changes, revision: this.#revision };
  }

  /** What a restore brought is no continuation of what was sent: the reader must compare it with what it has. */
  #checkHistory(): void {
    if (this.#store.epoch !== this.#epoch)
      throw new IsthmusError('unavailable', 'the source was restored; begin again');
  }

  stop(): void {
    this.#unsubscribe();
    this.#timer.cancel();
  }

  #onCommit(commit: AppliedCommit, table: string): void {
    if (this.#store.epoch !== this.#epoch) {
      this.#wake?.();
      return;
    }
    this.#revision = Math.max(this.#revision, commit.revision);
    for (const change of commit.changes) {
      if (change.table !== table) continue;
      this.#changes.delete(change.key); // so that it goes to the end
      this.#changes.set(
        change.key,
        change.after === undefined ? { key: change.key, revision: commit.revision } : toDelta(change.after),
      );
    }
    if (this.#changes.size > 0) this.#wake?.();
    else if (!this.#soon) {
      this.#soon = true;
      this.#arm(PROGRESS_MS);
    }
  }

  #tell(): void {
    this.#due = true;
    this.#wake?.();
  }

  #arm(ms: number): void {
    this.#timer.cancel();
    this.#timer = this.#clock.after(ms, () => this.#tell());
  }
}

function toDelta(row: { readonly key: string; readonly modRevision: number; readonly value: unknown }): RowDelta {
  return { key: row.key, revision: row.modRevision, json: Buffer.from(JSON.stringify(row.value)) };
}

function deltasOf(commit: Commit, prefix: string): RowDelta[] {
  const deltas: RowDelta[] = [];
  for (const change of commit.changes) {
    if (!change.key.startsWith(prefix)) continue;
    const key = change.key.slice(prefix.length);
    if (change.type === 'delete') deltas.push({ key, revision: commit.revision });
    else deltas.push({ key, revision: change.modRevision, json: Buffer.from(change.value) });
  }
  return deltas;
}

/** Messages that hold the changes up to a revision. */
function* batches(changes: readonly RowDelta[], revision: number): Generator<ChangesMessage> {
  let sent = 0;
  for (const part of chunks(changes)) {
    sent += part.length;
    yield { type: 'changes', changes: part, revision: sent === changes.length ? revision : 0 };
  }
}

function* chunks(changes: readonly RowDelta[]): Generator<readonly RowDelta[]> {
  let part: RowDelta[] = [];
  let bytes = 0;
  for (const change of changes) {
    part.push(change);
    bytes += change.key.length + (change.json?.length ?? 0);
    if (part.length < MAX_ROWS && bytes < MAX_BYTES) continue;
    yield part;
    part = [];
    bytes = 0;
  }
  if (part.length > 0) yield part;
}
