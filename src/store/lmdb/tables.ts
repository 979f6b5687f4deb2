import type { Database, RootDatabase } from 'lmdb';
import { IsthmusError } from '../../lib/errors.ts';
import type { Change, Commit, Row } from '../engine.ts';
import { compareKeys } from '../keys.ts';

/** createRevision, modRevision, value. */
type RowValue = [create: number, mod: number, value: string];
/** Key, the value put (null when deleted), its createRevision (0 when deleted), and the row replaced, if any. */
type LoggedChange = [key: string, value: string | null, create: number, before: RowValue | null];

const FORMAT = 1;
const NAMES = ['meta', 'rows', 'history', 'leases', 'leased'];

/** What the engine keeps on disk. Format 1; a change of meaning gets a new number. */
export class Tables {
  /** `format`, `epoch`, `owner`, `revision` (newest), `compacted` (history up to it is forgotten). */
  readonly meta: Database<unknown, string>;
  readonly #rows: Database<RowValue, Buffer>;
  /** Revision to what that commit changed, with what it replaced. */
  readonly #history: Database<LoggedChange[], number>;
  /** Lease to time to live, milliseconds. */
  readonly leases: Database<number, string>;
  /** Key to the lease that it hangs on. */
  readonly #leased: Database<string, Buffer>;

  constructor(root: RootDatabase, path: string) {
    for (const name of root.getKeys()) {
      if (typeof name !== 'string' || !NAMES.includes(name)) {
        throw new IsthmusError('internal', `${path} holds an LMDB database of something else; name an empty folder`);
      }
    }
    // Keys are bytes in UTF-8: their order is the order that ranges promise, and any character may be in them.
    this.meta = root.openDB('meta', { encoding: 'msgpack' });
    this.#rows = root.openDB('rows', { encoding: 'msgpack', keyEncoding: 'binary' });
    this.#history = root.openDB('history', { encoding: 'msgpack' });
    this.leases = root.openDB('leases', { encoding: 'msgpack' });
    this.#leased = root.openDB('leased', { encoding: 'msgpack', keyEncoding: 'binary' });
    const format = this.meta.get('format');
    if (format !== undefined && format !== FORMAT) {
      throw new IsthmusError(
        'internal',
        `the store in ${path} has format ${String(format)}; this version reads ${FORMAT}: it was written by a newer one`,
      );
    }
  }

  /** Marks a new store. Within a transaction. */
  create(epoch: string): void {
    void this.meta.put('epoch', epoch);
    void this.meta.put('revision', 0);
    void this.meta.put('compacted', 0);
    void this.meta.put('format', FORMAT);
  }

  get revision(): number {
    return this.meta.get('revision') as number;
  }

  get compacted(): number {
    return this.meta.get('compacted') as number;
  }

  row(key: string): Row | undefined {
    const value = this.#rows.get(Buffer.from(key));
    return value === undefined ? undefined : toRow(key, value);
  }

  putRow(row: Row): void {
    void this.#rows.put(Buffer.from(row.key), [row.createRevision, row.modRevision, row.value]);
  }

  removeRow(key: string): void {
    void this.#rows.remove(Buffer.from(key));
  }

  /** Rows whose key starts with `prefix` and comes after `after`, in key order. */
  *rows(prefix: string, after: string | undefined): Generator<Row, void, void> {
    const start = Buffer.from(after !== undefined && compareKeys(after, prefix) > 0 ? after : prefix);
    const end = endOf(prefix);
    const options = { ...(start.length > 0 && { start }), ...(end !== undefined && { end }) };
    for (const { key, value } of this.#rows.getRange(options)) {
      const text = key.toString();
      if (text !== after) yield toRow(text, value);
    }
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
    void this.#history.put(commit.revision, changes);
  }

  /** Forgets one commit. Within a transaction. */
  unlog(revision: number): void {
    void this.#history.remove(revision);
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
        if (!replaced.has(key)) replaced.set(key, before === null ? undefined : toRow(key, before));
      }
    }
    return replaced;
  }

  setLease(key: string, lease: string | undefined): void {
    if (lease === undefined) void this.#leased.remove(Buffer.from(key));
    else void this.#leased.put(Buffer.from(key), lease);
  }

  *leased(): Generator<{ key: string; lease: string }, void, void> {
    for (const { key, value } of this.#leased.getRange()) yield { key: key.toString(), lease: value };
  }
}

function toRow(key: string, [createRevision, modRevision, value]: RowValue): Row {
  return { key, value, createRevision, modRevision };
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
