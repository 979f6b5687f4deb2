import { OrderedRows } from '../../store/ordered-rows.ts';
import type { Store } from '../../store/store.ts';
import type { Table } from '../../store/table.ts';
import type { TopicSpace } from '../../store/topics.ts';
import type { KvEntity } from './entry.ts';
import type { StoredKey } from './keys.ts';

/** What all topics of keys begin with. */
const MARK = 'kv:';
const KEY = `${MARK}key:`;
const UNDER = `${MARK}under:`;

/** Deleted keys that are remembered, so that the index of a prefix does not go back. The oldest go first. */
const MAX_TOMBSTONES = 16_384;

interface Tombstone {
  readonly key: StoredKey;
  readonly modRevision: number;
}

/**
 * Who waits for which keys, and how new they are. The index of a key that is there is its own; of one that is not, that
 * of the newest change of any key; of a prefix, that of its newest key or deletion. None ever goes back: what has been
 * forgotten about deletions counts as changed when the newest forgotten one was.
 */
export class KvTopics implements TopicSpace {
  #table: Table<KvEntity> | undefined;
  /** Newest change of any key, or the revision from which nothing is known about earlier ones. */
  #newest = 1;
  /** Every deletion after it is remembered. */
  #forgotten = 1;
  readonly #tombstones = new OrderedRows<Tombstone>();
  /** The same, oldest first. */
  readonly #byAge = new Map<StoredKey, number>();
  /** Lengths of the prefixes that somebody waits for, and how many prefixes have each. */
  readonly #lengths = new Map<number, number>();

  readonly key = (key: StoredKey): string => KEY + key;
  readonly under = (prefix: StoredKey): string => UNDER + prefix;

  /** Deletions are learnt from the commits of the store. */
  follow(store: Store, table: Table<KvEntity>): void {
    this.#table = table;
    store.topics.addSpace(MARK, this);
    store.onCommit(({ revision, changes }) => {
      for (const { table: name, key, after } of changes) {
        if (name !== table.spec.name) continue;
        this.#newest = Math.max(this.#newest, revision);
        if (after === undefined) this.#bury(key, revision);
        else this.#revive(key);
      }
    });
  }

  /** The topics that a change of the key touches, as far as anybody waits for them. */
  changedBy(key: StoredKey): readonly string[] {
    const topics = [KEY + key];
    for (const length of this.#lengths.keys()) if (length <= key.length) topics.push(UNDER + key.slice(0, length));
    return topics;
  }

  index(topic: string): number {
    if (topic.startsWith(KEY)) return this.#table?.get(topic.slice(KEY.length))?.modRevision ?? this.#newest;
    const prefix = topic.slice(UNDER.length);
    if (prefix === '') return this.#newest;
    const rows = this.#table?.newestUnder(prefix) ?? 0;
    const known = Math.max(rows, this.#tombstones.newestUnder(prefix));
    return known === 0 ? this.#newest : Math.max(known, this.#forgotten);
  }

  raise(revision: number): void {
    this.#newest = Math.max(this.#newest, revision);
    this.#forgotten = Math.max(this.#forgotten, revision);
    for (const key of [...this.#byAge.keys()]) this.#revive(key);
  }

  watched(topic: string): void {
    if (!topic.startsWith(UNDER)) return;
    const length = topic.length - UNDER.length;
    this.#lengths.set(length, (this.#lengths.get(length) ?? 0) + 1);
  }

  unwatched(topic: string): void {
    if (!topic.startsWith(UNDER)) return;
    const length = topic.length - UNDER.length;
    const left = (this.#lengths.get(length) ?? 0) - 1;
    if (left > 0) this.#lengths.set(length, left);
    else this.#lengths.delete(length);
  }

  #bury(key: StoredKey, modRevision: number): void {
    this.#byAge.delete(key);
    this.#byAge.set(key, modRevision);
    this.#tombstones.set({ key, modRevision });
    if (this.#byAge.size <= MAX_TOMBSTONES) return;
    const [oldest, revision] = this.#byAge.entries().next().value as [StoredKey, number];
    this.#forgotten = Math.max(this.#forgotten, revision);
    this.#revive(oldest);
  }

  #revive(key: StoredKey): void {
    if (!this.#byAge.delete(key)) return;
    this.#tombstones.delete(key);
  }
}
