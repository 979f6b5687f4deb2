import type { Change, Commit, Op, Row } from '../engine.ts';
import type { Leases } from '../leases.ts';
import type { Tables } from './tables.ts';

/** Commits forgotten beside one group, at most, beyond as many as it adds. */
const FORGET_LIMIT = 256;

/** Revisions and commits: what is on disk, and what the group adds that is being written. */
export class Journal {
  readonly #tables: Tables;
  readonly #leases: Leases;
  readonly #keepRevisions: number;
  #durable = 0;
  #revision = 0;
  #compacted = 0;
  /** Commits up to this one are no longer on disk; behind #compacted while forgetting is under way. */
  #forgotten = 0;
  /** Commits of the group being written. */
  #commits: Commit[] = [];

  /** @param keepRevisions how many of the newest revisions stay in the history */
  constructor(tables: Tables, leases: Leases, keepRevisions: number) {
    this.#tables = tables;
    this.#leases = leases;
    this.#keepRevisions = keepRevisions;
    this.takeUp();
  }

  /** The newest revision on disk: what watchers may see. */
  get durable(): number {
    return this.#durable;
  }

  /** The newest revision of the group being written. */
  get revision(): number {
    return this.#revision;
  }

  /** History up to this revision is forgotten. */
  get compacted(): number {
    return this.#compacted;
  }

  /** True once no commit up to `revision` is on disk, as far as it is to be forgotten. */
  hasForgotten(revision: number): boolean {
    return this.#forgotten >= Math.min(revision, this.#compacted);
  }

  /** Goes on from what is on disk: what was not written is dropped. */
  takeUp(): void {
    const tables = this.#tables;
    this.#commits = [];
    this.#revision = this.#durable = tables.revision;
    this.#compacted = tables.compacted;
    this.#forgotten = (tables.oldestLogged() ?? this.#revision + 1) - 1;
    this.#leases.reattach(tables.leased());
  }

  /** One commit. Within the group's transaction, as the two that follow. */
  write(ops: readonly Op[]): void {
    const tables = this.#tables;
    const revision = this.#revision + 1;
    const changes: Change[] = [];
    const replaced: (Row | undefined)[] = [];
    for (const op of ops) {
      const before = tables.row(op.key);
      if (op.type === 'delete') {
        if (before === undefined) continue;
        tables.removeRow(op.key);
        this.#hang(op.key, undefined);
        changes.push({ type: 'delete', key: op.key, modRevision: revision });
      } else {
        const createRevision = before?.createRevision ?? revision;
        const row: Row = { key: op.key, value: op.value, createRevision, modRevision: revision };
        tables.putRow(row);
        this.#hang(op.key, op.lease);
        changes.push({ type: 'put', ...row });
      }
      replaced.push(before);
    }
    if (changes.length === 0) return;
    const commit: Commit = { revision, changes };
    tables.log(commit, replaced);
    this.#revision = revision;
    this.#commits.push(commit);
  }

  compactTo(revision: number): void {
    if (revision <= this.#compacted) return;
    this.#compacted = revision;
    this.#tables.meta.putSync('compacted', revision);
  }

  /** Ends the group. Forgets old commits, few at a time, so that no write waits long for it. */
  seal(): void {
    const step = this.#commits.length + FORGET_LIMIT;
    // Cutting off a few together spares most groups the work.
    const surplus = this.#revision - this.#keepRevisions - this.#compacted;
    if (surplus >= Math.min(FORGET_LIMIT / 4, this.#keepRevisions)) this.compactTo(this.#compacted + surplus);
    const end = Math.min(this.#compacted, this.#forgotten + step);
    for (let revision = this.#forgotten + 1; revision <= end; revision += 1) this.#tables.unlog(revision);
    if (end > this.#forgotten) this.#forgotten = end;
    if (this.#commits.length > 0) this.#tables.meta.putSync('revision', this.#revision);
  }

  /** The group is on disk; returns its commits. */
  written(): readonly Commit[] {
    this.#durable = this.#revision;
    const commits = this.#commits;
    this.#commits = [];
    return commits;
  }

  #hang(key: string, lease: string | undefined): void {
    if (this.#leases.of(key) === lease) return;
    this.#tables.setLease(key, lease);
    this.#leases.attach(key, lease);
  }
}
