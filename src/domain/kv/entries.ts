import { IsthmusError } from '../../lib/errors.ts';
import { KeyedMutex } from '../../lib/keyed-mutex.ts';
import type { KvEntry, KvOperation } from '../../model/kv.ts';
import type { Read } from '../../store/read.ts';
import type { Store } from '../../store/store.ts';
import { requireOperation } from './arguments.ts';
import { entryForm } from './entry.ts';
import { type StoredKey, shownKey, storedKey } from './keys.ts';
import { keyOf, MAX_TREE_KEYS, rejected, WRITES } from './operations.ts';
import { EntryStep } from './step.ts';
import type { KvTables } from './tables.ts';
import type { KvTopics } from './topics.ts';

export interface EntriesDeps {
  readonly store: Store;
  readonly tables: KvTables;
  readonly topics: KvTopics;
}

export interface EntryReads {
  /** The entry; none when it does not exist. */
  readonly 'kv.get': Read<{ readonly key: string }, readonly KvEntry[]>;
  readonly 'kv.list': Read<{ readonly prefix: string }, readonly KvEntry[]>;
  /** With a separator, keys are cut after the first one that follows the prefix, and each is listed once. */
  readonly 'kv.keys': Read<{ readonly prefix: string; readonly separator?: string }, readonly string[]>;
}

export interface EntryWrites {
  /** False: what was expected did not hold, and nothing was written. */
  'kv.apply'(operation: KvOperation): Promise<boolean>;
}

/** Bytes of a list, at most, as far as they are counted: keys and values. More would hold up everybody else. */
const MAX_LIST_BYTES = 32 * 1_024 * 1_024;
const MAX_LISTED_KEYS_BYTES = 48 * 1_024 * 1_024;
/** What an entry has beside its key and value in JSON. */
const ENTRY_BYTES = 100;
/** Bytes of the keys that one step of a recursive delete names: it must fit into one write of etcd. */
const STEP_KEY_BYTES = 262_144;

export function createEntries({ store, tables, topics }: EntriesDeps): {
  readonly reads: EntryReads;
  readonly writes: EntryWrites;
} {
  const { entries } = tables;
  const turns = new KeyedMutex();

  const list = (prefix: string): readonly KvEntry[] => {
    const found: KvEntry[] = [];
    let bytes = 0;
    for (const row of entries.under(storedKey(prefix))) {
      bytes += row.key.length + row.value.Value.length + ENTRY_BYTES;
      if (bytes > MAX_LIST_BYTES) throw tooLong(prefix, MAX_LIST_BYTES, 'ask for their names with ?keys, or');
      found.push(entryForm(row));
    }
    return found;
  };

  const keys = (prefix: string, separator: string): readonly string[] => {
    const from = storedKey(prefix);
    const cut = storedKey(separator);
    const found: string[] = [];
    let bytes = 0;
    let folder: StoredKey | undefined;
    for (const { key } of entries.under(from)) {
      if (folder !== undefined && key.startsWith(folder)) continue;
      const at = cut === '' ? -1 : key.indexOf(cut, from.length);
      folder = at < 0 ? undefined : key.slice(0, at + cut.length);
      const shown = shownKey(folder ?? key);
      bytes += shown.length + 3;
      if (bytes > MAX_LISTED_KEYS_BYTES) throw tooLong(prefix, MAX_LISTED_KEYS_BYTES, 'give a separator, or');
      found.push(shown);
    }
    return found;
  };

  /** All keys under the prefix, in one step or, when there are too many for one, in several. */
  const deleteTree = async (operation: KvOperation): Promise<boolean> => {
    const prefix = storedKey(operation.Key);
    if (store.shared) await store.sync(); // what others have acknowledged is deleted too
    for (;;) {
      const { result: more } = await store.transact((tx) => {
        const step = new EntryStep(tx, tables);
        let bytes = 0;
        let count = 0;
        for (const { key } of entries.under(prefix)) {
          bytes += key.length;
          if (count > 0 && (count >= MAX_TREE_KEYS || bytes > STEP_KEY_BYTES)) return true;
          step.delete(key);
          count += 1;
        }
        return false;
      });
      if (!more) return true;
    }
  };

  return {
    reads: {
      'kv.get': {
        topics: ({ key }) => [topics.key(storedKey(key))],
        produce({ key }) {
          const row = entries.get(storedKey(key));
          return row === undefined ? [] : [entryForm(row)];
        },
        keep: false,
      },
      'kv.list': {
        topics: ({ prefix }) => [topics.under(storedKey(prefix))],
        produce: ({ prefix }) => list(prefix),
        keep: false,
      },
      'kv.keys': {
        topics: ({ prefix }) => [topics.under(storedKey(prefix))],
        produce: ({ prefix, separator = '' }) => keys(prefix, separator),
        keep: false,
      },
    },
    writes: {
      async 'kv.apply'(given) {
        const operation = requireOperation(given);
        if (operation.Verb === 'delete-tree') return deleteTree(operation);
        const apply = Object.hasOwn(WRITES, operation.Verb) ? WRITES[operation.Verb] : undefined;
        if (apply === undefined) throw rejected(`unknown KV verb ${JSON.stringify(operation.Verb)}`);
        // One after the other here, or those who write one key would make each other begin again.
        const { result } = await turns.run(keyOf(operation), () =>
          store.transact((tx) => apply(new EntryStep(tx, tables), operation).done),
        );
        return result;
      },
    },
  };
}

function tooLong(prefix: string, limit: number, instead: string): IsthmusError {
  const mib = limit / 1_024 / 1_024;
  return new IsthmusError(
    'too_large',
    `the keys under ${JSON.stringify(prefix)} are more than ${mib} MiB: ${instead} ask for a longer prefix`,
  );
}
