import type { KvEntry } from '../../model/kv.ts';
import type { Codec, Stored } from '../../store/table.ts';
import { type StoredKey, shownKey } from './keys.ts';

export interface KvEntity {
  readonly Key: StoredKey;
  /** Base64; '' when empty. */
  readonly Value: string;
  readonly Flags: number | string;
  readonly LockIndex: number;
  /** ID of the session that holds the lock; '' when none does. */
  readonly Session: string;
}

/** The key stands before the text, and what is as usual is left out: there may be a million of them. */
export const entryCodec: Codec<KvEntity> = {
  encode({ Value, Flags, LockIndex, Session }) {
    return JSON.stringify({
      Value,
      ...(Flags === 0 ? undefined : { Flags }),
      ...(LockIndex === 0 ? undefined : { LockIndex }),
      ...(Session === '' ? undefined : { Session }),
    });
  },
  decode(key, text) {
    const { Value = '', Flags = 0, LockIndex = 0, Session = '' } = JSON.parse(text) as Partial<KvEntity>;
    return { Key: key, Value, Flags, LockIndex, Session };
  },
};

export function sameEntry(a: KvEntity, b: KvEntity): boolean {
  return a.Value === b.Value && a.Flags === b.Flags && a.LockIndex === b.LockIndex && a.Session === b.Session;
}

export type EntryRow = Pick<Stored<KvEntity>, 'value' | 'createRevision' | 'modRevision'>;

/** As the API shows it. */
export function entryForm({ value, createRevision, modRevision }: EntryRow): KvEntry {
  const { Key, Value, Flags, LockIndex, Session } = value;
  return {
    LockIndex,
    Key: shownKey(Key),
    Flags,
    Value: Value === '' ? null : Value,
    ...(Session === '' ? undefined : { Session }),
    CreateIndex: createRevision,
    ModifyIndex: modRevision,
  };
}
