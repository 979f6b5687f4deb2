import { IsthmusError } from '../../lib/errors.ts';
import type { ConfigEntry, ConfigEntryKind } from '../config-entry.ts';
import type { Fields } from './schema.ts';

/** One kind of configuration entry: its fields and its rules. Pure; the table and other entries are elsewhere. */
export interface KindSpec<E extends ConfigEntry = ConfigEntry> {
  readonly kind: ConfigEntryKind;
  /** Fields beside Kind, Name and Meta, in the order in which they are shown. */
  readonly fields: Fields;
  /** Fills in and orders; never refuses. */
  normalise(entry: E): E;
  /** Throws the first rule that the entry breaks, looking at nothing else. */
  validate(entry: E): void;
  /** Services whose discovery chain takes this entry into account, beside the one that it is named after. */
  mentions?(entry: E): readonly string[];
  /** Finer topics that a change of the entry touches. */
  topics?(entry: E): readonly string[];
}

export function rejected(text: string): IsthmusError {
  return new IsthmusError('rejected', text);
}

export function requireName(entry: ConfigEntry): void {
  if (entry.Name === '') throw rejected('Name is required');
}

const META_PAIRS = 64;
const META_KEY_LENGTH = 128;
const META_VALUE_LENGTH = 512;

/** The limits of Meta, the same for every kind. */
export function validateMeta(meta: Readonly<Record<string, string>> | undefined): void {
  if (meta === undefined) return;
  const pairs = Object.entries(meta);
  if (pairs.length > META_PAIRS) throw rejected(`Meta exceeds maximum element count ${META_PAIRS}`);
  for (const [key, value] of pairs) {
    const quoted = JSON.stringify(key);
    if (key.length > META_KEY_LENGTH) throw rejected(`Meta key ${quoted} exceeds maximum length ${META_KEY_LENGTH}`);
    if (value.length > META_VALUE_LENGTH)
      throw rejected(`Meta value for key ${quoted} exceeds maximum length ${META_VALUE_LENGTH}`);
  }
}
