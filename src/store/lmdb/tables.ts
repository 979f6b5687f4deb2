import type { Database, RootDatabase, Transaction } from 'lmdb';
import { IsthmusError } from '../../lib/errors.ts';
import type { Change, Commit, RestoredRow, Row } from '../engine.ts';
import { compareKeys } from '../keys.ts';

/** createRevision, modRevision, value. Zeros stand for the revision of the restore that wrote the row. */
type RowValue = [create: number, mod: number, value: string];
/** Key, the value put (null when deleted), its createRevision (0 when deleted), and the row replaced, if any. */
type LoggedChange = [key: string, value: string | null, create: number, before: RowValue | null];

/**
 * A change of meaning gets a new number, so that an older program refuses the store; a store bears the lowest number
 * that says all of it, so that an older program can be gone back to for as long as it understands what is there.
 * - 1: the first
 * - 2: from the first restore on: `rows2`, and zeros for revisions
 */
const FORMAT = { plain: 1, restored: 2 } as const;
const NEWEST_FORMAT = FORMAT.restored;
const ROWS = ['rows', 'rows2'] as const;
const BYTES = { encoding: 'msgpack', keyEncoding: 'binary' } as const;
const NAMES: readonly string[] = ['meta', ...ROWS, 'history', 'leases', 'leased'];

/** One state of the store, held by a read transaction. */
export interface HeldState {
  readonly epoch: string;
  readonly revision: number;
  /** Keys attached to a lease. */
  readonly leased: ReadonlySet<string>;
  /** In key order. */
  rows(after: string | undefined): Iterable<Row>;
}

/** What the engine keeps on disk. */
export class Tables {
  /**
   * `format`, `epoch`, `owner`, `revision` (newest), `compacted` (history up to it is forgotten), `rows` (which of the
   * two is in use; absent: the first), `restored` (revision of the last restore).
   */
  readonly meta: Database<unknown, string>;
  /** One is in use, the other empty or being filled by a restore; the second is made by the first restore. */
  readonly #both: [Database<RowValue, Buffer>, Database<RowValue, Buffer> | undefined];
  readonly #root: RootDatabase;
  #current: 0 | 1 = 0;
  #restored = 0;
  /** Revision to what that commit changed, with what it replaced. */
  readonly #history: Database<LoggedChange[], number>;
  /** Lease to time to live, milliseconds. */
  readonly leases: Database<number, string>;
  /** Key to the lease that it is attached to. */
  readonly #leased: Database<string, Buffer>;

  constructor(root: RootDatabase, path: string) {
    this.#root = root;
    const names = [...root.getKeys()];
    if (names.includes('meta')) checkFormat(root.openDB({ name: 'meta', encoding: 'msgpack' }).get('format'), path);
    for (const name of names) {
      if (typeof name !== 'string' || !NAMES.includes(name)) {
        throw new IsthmusError('internal', `${path} holds an LMDB database of something else; name an empty folder`);
      }
    }
    // Keys are bytes in UTF-8: their order is the order that ranges promise, and any character may be in them.
    this.meta = root.openDB('meta', { encoding: 'msgpack' });
    this.#both = [root.openDB(ROWS[0], BYTES), names.includes(ROWS[1]) ? root.openDB(ROWS[1], BYTES) : undefined];
    this.#history = root.openDB('history', { encoding: 'msgpack' });
    this.leases = root.openDB('leases', { encoding: 'msgpack' });
    this.#leased = root.openDB('leased', BYTES);
  }

  /** True: nothing was ever written into it. */
  get fresh(): boolean {
    return this.meta.get('format') === undefined;
  }

  /** Makes a new store, or takes up the one that is there. Within a transaction. */
  open(newEpoch: string): void {
    if (this.fresh) this.#create(newEpoch);
    this.#current = this.meta.get('rows') === ROWS[1] ? 1 : 0;
    this.#restored = (this.meta.get('restored') as number | undefined) ?? 0;
    this.clearStaged(); // of a restore that was cut off
  }

  #create(epoch: string): void {
    this.meta.putSync('epoch', epoch);
    this.meta.putSync('revision', 0);
    this.meta.putSync('compacted', 0);
    this.meta.putSync('format', FORMAT.plain);
  }

  get #rows(): Database<RowValue, Buffer> {
    return this.#both[this.#current] as Database<RowValue, Buffer>;
  }

  get #staged(): Database<RowValue, Buffer> | undefined {
    return this.#both[this.#current === 0 ? 1 : 0];
  }

  get epoch(): string {
    return this.meta.get('epoch') as string;
  }

  get revision(): number {
    return this.meta.get('revision') as number;
  }

  get compacted(): number {
    return this.meta.get('compacted') as number;
  }

  row(key: string): Row | undefined {
    const value = this.#rows.get(Buffer.from(key));
    return value === undefined ? undefined : this.#toRow(key, value);
  }

  putRow(row: Row): void {
    this.#rows.putSync(Buffer.from(row.key), [row.createRevision, row.modRevision, row.value]);
  }

  removeRow(key: string): void {
    this.#rows.removeSync(Buffer.from(key));
  }

  /** Rows whose key starts with `prefix` and comes after `after`, in key order. */
  *rows(prefix: string, after: string | undefined): Generator<Row, void, void> {
    const start = Buffer.from(after !== undefined && compareKeys(after, prefix) > 0 ? after : prefix);
    const end = endOf(prefix);
    const options = { ...(start.length > 0 && { start }), ...(end !== undefined && { end }) };
    for (const { key, value } of this.#rows.getRange(options)) {
      const text = key.toString();
      if (text !== after) yield this.#toRow(text, value);
    }
  }

  /** The state that `transaction` holds. Read it while the transaction lives. */
  at(transaction: Transaction): HeldState {
    const rows = this.#rows;
    const restored = this.#restored;
    const leased = new Set<string>();
    for (const key of this.#leased.getKeys({ transaction })) leased.add(key.toString());
    return {
      epoch: this.meta.get('epoch', { transaction }) as string,
      revision: this.meta.get('revision', { transaction }) as number,
      leased,
      rows: function* (after) {
        const options = after === undefined ? { transaction } : { transaction, start: Buffer.from(after) };
        for (const { key, value } of rows.getRange(options)) {
          const text = key.toString();
          if (text !== after) yield toRow(text, value, restored);
        }
      },
    };
  }

  /** Makes room for what a restore stages. Outside of transactions. */
  prepareStaged(): void {
    this.#both[1] ??= this.#root.openDB(ROWS[1], BYTES);
  }

  /** Drops what a restore has staged. Within a transaction, as the two that follow. */
  clearStaged(): void {
    if (this.#staged === undefined) return;
    this.#staged.clearSync();
    this.meta.putSync('format', FORMAT.restored);
  }

  /** @param keepRevisions the row keeps those it comes with; else it has the one of the restore */
  putStaged({ key, value, createRevision = 0, modRevision = 0 }: RestoredRow, keepRevisions: boolean): void {
    this.#staged?.putSync(Buffer.from(key), keepRevisions ? [createRevision, modRevision, value] : [0, 0, value]);
  }

  /**
   * Takes up what is staged. {@link adopted} must follow once the transaction is on disk.
   * @param compacted history up to it is not held: all of it, or all but the empty commit that goes on with another one
   */
  adopt(epoch: string, revision: number, compacted: number): void {
    this.meta.putSync('epoch', epoch);
    this.meta.putSync('revision', revision);
    this.meta.putSync('compacted', compacted);
    this.meta.putSync('restored', revision);
    this.meta.putSync('rows', this.#current === 0 ? ROWS[1] : ROWS[0]);
    this.#rows.clearSync();
    this.#history.clearSync();
    if (compacted < revision) this.#history.putSync(revision, []);
    this.#leased.clearSync();
  }

  adopted(revision: number): void {
    this.#current = this.#current === 0 ? 1 : 0;
    this.#restored = revision;
  }

  /** Within a transaction. `before[n]` is the row that `changes[n]` replaced. */
  log(commit: Commit, before: readonly (Row | undefined)[]): void {
    const changes = commit.changes.map((change, index): LoggedChange => {
      const old = before[index];
      const replaced: RowValue | null = old === undefined ? null : [old.createRevision, old.modRevision, old.value];
      return change.type === 'put'
        ? [change.key, change.value, change.createRevision, replaced]
        : [change.key, null, 0, replaced];
    });
    this.#history.putSync(commit.revision, changes);
  }

  /** Forgets one commit. Within a transaction. */
  unlog(revision: number): void {
    this.#history.removeSync(revision);
  }

  /** The oldest commit still on disk. */
  oldestLogged(): number | undefined {
    for (const revision of this.#history.getKeys({ limit: 1 })) return revision;
    return undefined;
  }

  /** Commits from `from` to `to`, `limit` at most. */
  commits(from: number, to: number, limit: number): Commit[] {
    const commits: Commit[] = [];
    for (const { key, value } of this.#history.getRange({ start: from, end: to, inclusiveEnd: true, limit })) {
      commits.push({ revision: key, changes: value.map((change) => toChange(change, key)) });
    }
    return commits;
  }

  /** What the keys changed after `revision` were at it: a row, or `undefined` when there was none. */
  replacedSince(revision: number): Map<string, Row | undefined> {
    const replaced = new Map<string, Row | undefined>();
    for (const { value } of this.#history.getRange({ start: revision + 1 })) {
      for (const [key, , , before] of value) {
        if (!replaced.has(key)) replaced.set(key, before === null ? undefined : this.#toRow(key, before));
      }
    }
    return replaced;
  }

  setLease(key: string, lease: string | undefined): void {
    if (lease === undefined) this.#leased.removeSync(Buffer.from(key));
    else this.#leased.putSync(Buffer.from(key), lease);
  }

  *leased(): Generator<{ key: string; lease: string }, void, void> {
    for (const { key, value } of this.#leased.getRange()) yield { key: key.toString(), lease: value };
  }

  #toRow(key: string, value: RowValue): Row {
    return toRow(key, value, this.#restored);
  }
}

/** Throws unless this version can read a store of `format` (absent: the store is being made). */
function checkFormat(format: unknown, path: string): void {
  if (format === undefined || (typeof format === 'number' && format <= NEWEST_FORMAT)) return;
  throw new IsthmusError(
    'internal',
    `the store in ${path} has format ${String(format)} and this version reads up to ${NEWEST_FORMAT}: it was ` +
      `written by a ` +
      'newer version of isthmus; run that one, or restore a snapshot that this version can read into an empty data_dir',
  );
}

function toRow(key: string, [create, mod, value]: RowValue, restored: number): Row {
  return { key, value, createRevision: create || restored, modRevision: mod || restored };
}

function toChange([key, value, createRevision]: LoggedChange, modRevision: number): Change {
  return value === null
    ? { type: 'delete', key, modRevision }
    : { type: 'put', key, value, createRevision, modRevision };
}

/** The first key after all that start with `prefix`. UTF-8 holds no byte 0xff, so the last byte can always grow. */
function endOf(prefix: string): Buffer | undefined {
  if (prefix === '') return undefined;
  const bytes = Buffer.from(prefix);
  const last = bytes.length - 1;
  bytes[last] = (bytes[last] as number) + 1;
  return bytes;
}
