import type { KvEntry } from './kv.ts';

/**
 * Flags have 64 bits, which the numbers of this language do not hold: larger ones are carried as texts, and are numbers
 * in the JSON of the API.
 */

/** JSON of entries; undefined when none has large flags, and plain JSON will do. */
export function withFlags(value: readonly KvEntry[], pretty: boolean): Buffer | undefined {
  if (!value.some(({ Flags }) => typeof Flags === 'string')) return undefined;
  return Buffer.from(jsonWithFlags(value, pretty));
}

/**
 * JSON of anything that holds entries. Within a text, the quotes of what looks like flags would be escaped.
 * @param pretty true: indented as the API does; a text: indented by it
 */
export function jsonWithFlags(value: unknown, pretty: boolean | string): string {
  const plain = JSON.stringify(value, null, typeof pretty === 'string' ? pretty : pretty ? 4 : 0);
  const text = pretty === true ? `${plain}\n` : plain;
  return text.replace(/(?<!\\)"Flags":( ?)"([0-9]+)"/g, '"Flags":$1$2');
}

/** The other way round: JSON whose large flags are texts. */
export function flagsAsTexts(json: string): string {
  return json.replace(/(?<!\\)"flags"(\s*:\s*)([0-9]{16,20})(?=\s*[,}])/gi, '"Flags"$1"$2"');
}
