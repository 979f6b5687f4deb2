import type { KvEntry } from '../../../model/kv.ts';

/**
 * Flags have 64 bits, which the numbers of this language do not hold: larger ones are carried as texts, and become
 * numbers again in the JSON of an answer. Undefined when there are none, and plain JSON will do.
 */
export function withFlags(value: readonly KvEntry[], pretty: boolean): Buffer | undefined {
  if (!value.some(({ Flags }) => typeof Flags === 'string')) return undefined;
  return Buffer.from(jsonWithFlags(value, pretty));
}

/** JSON of anything that holds entries. Within a text, the quotes of what looks like flags would be escaped. */
export function jsonWithFlags(value: unknown, pretty: boolean): string {
  const text = pretty ? `${JSON.stringify(value, null, 4)}\n` : JSON.stringify(value);
  return text.replace(/(?<!\\)"Flags":( ?)"([0-9]+)"/g, '"Flags":$1$2');
}

/** The other way round: JSON whose large flags are texts. */
export function flagsAsTexts(json: string): string {
  return json.replace(/(?<!\\)"flags"(\s*:\s*)([0-9]{16,20})(?=\s*[,}])/gi, '"Flags"$1"$2"');
}
