import { canonicalText } from '../../../lib/bytes-in-text.ts';
import type { KvEntry, KvOperation } from '../../../model/kv.ts';
import type { Rights } from '../../../model/rights.ts';
import { OWN_DATA, read, write } from './method.ts';
import { kept } from './rights.ts';
import { EVERYONE } from './roles.ts';

/** Keys are texts as lib/bytes-in-text.ts makes them; a rule names its keys in UTF-8. */
export const readsKey = (rights: Rights, key: string): boolean => rights.may('key', canonicalText(key), 'read');

const CUT_CHARACTER = /[\udc80-\udcff]+$/u;

export function mayChangeKey(rights: Rights, { Verb, Key }: Pick<KvOperation, 'Verb' | 'Key'>): boolean {
  const key = canonicalText(Key);
  if (Verb !== 'delete-tree') return rights.may('key', key, 'write');
  // A prefix may end within a character: keys below it continue that in any way.
  return rights.mayBelow('key', key.replace(CUT_CHARACTER, ''), 'write');
}

/** Where `acl.enable_key_list_policy` is set, to see what lies under a prefix takes a right of its own. */
const listsKeys = (rights: Rights, { prefix }: { readonly prefix: string }, keyListPolicy: boolean): boolean =>
  !keyListPolicy || rights.may('key', canonicalText(prefix), 'list');

export const kvReads = {
  /** One entry, or none. */
  'kv.get': read<{ readonly key: string }, readonly KvEntry[]>({
    ...OWN_DATA,
    needs: { key: 'text' },
    callers: EVERYONE,
    rights: { allow: (rights, { key }) => readsKey(rights, key) },
    current: true,
  }),
  'kv.list': read<{ readonly prefix: string }, readonly KvEntry[]>({
    ...OWN_DATA,
    needs: { prefix: 'text' },
    callers: EVERYONE,
    rights: {
      allow: (rights, args, { keyListPolicy }) => listsKeys(rights, args, keyListPolicy),
      show: (rights, entries) => kept(entries, ({ Key }) => readsKey(rights, Key)),
    },
    current: true,
  }),
  'kv.keys': read<{ readonly prefix: string; readonly separator?: string }, readonly string[]>({
    ...OWN_DATA,
    needs: { prefix: 'text' },
    callers: EVERYONE,
    rights: {
      allow: (rights, args, { keyListPolicy }) => listsKeys(rights, args, keyListPolicy),
      // A key that was cut at the separator stands for all under it.
      show: (rights, keys, { separator = '' }) =>
        kept(
          keys,
          (key) =>
            readsKey(rights, key) || (separator !== '' && key.endsWith(separator) && rights.mayAny('key', key, 'read')),
        ),
    },
    current: true,
  }),
};

export const kvWrites = {
  /** One operation on a key, or the deletion of all under a prefix. False: what it expects did not hold. */
  'kv.apply': write<KvOperation, boolean>({
    decided: 'here',
    leader: false,
    repeatable: false,
    arrivesIn: undefined,
    needs: { Verb: 'text', Key: 'text' },
    audit: ['Verb', 'Key'],
    callers: EVERYONE,
    rights: (rights, operation) => mayChangeKey(rights, operation),
  }),
};
