/** Which fields of a value an expression may select, and what they hold. Fields left out of a value count as zero. */
export type Field =
  | { readonly kind: 'string' | 'number' | 'bool' | 'strings' }
  | { readonly kind: 'struct' | 'list'; readonly fields: Fields }
  /** String keys; without `value` it can't be selected into. */
  | { readonly kind: 'map'; readonly value?: Field };

export type Fields = Readonly<Record<string, Field>>;

export const TEXT: Field = { kind: 'string' };
export const NUMBER: Field = { kind: 'number' };
export const BOOL: Field = { kind: 'bool' };
/** A list of strings. */
export const TEXTS: Field = { kind: 'strings' };
/** Strings by name. */
export const TEXT_MAP: Field = { kind: 'map', value: TEXT };

export function struct(fields: Fields): Field {
  return { kind: 'struct', fields };
}

export function list(fields: Fields): Field {
  return { kind: 'list', fields };
}

export function map(value: Field): Field {
  return { kind: 'map', value };
}
