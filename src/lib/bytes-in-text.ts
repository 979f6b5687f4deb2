import { isUtf8 } from 'node:buffer';

/**
 * Bytes as a text that JSON carries unchanged: their UTF-8 where they are that, and for each byte that belongs to no
 * character a lone surrogate, U+DC80 to U+DCFF (as PEP 383 does).
 */
export function textOfBytes(bytes: Buffer): string {
  if (isUtf8(bytes)) return bytes.toString('utf8');
  let text = '';
  for (let at = 0; at < bytes.length; ) {
    const lead = bytes[at] as number;
    const length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    const character = bytes.subarray(at, at + length);
    if (character.length === length && isUtf8(character)) {
      text += character.toString('utf8');
      at += length;
    } else {
      text += String.fromCharCode(0xdc00 + lead);
      at += 1;
    }
  }
  return text;
}

/** The bytes that {@link textOfBytes} made the text of; of any text: a surrogate that stands for no byte is U+FFFD. */
export function bytesOfText(text: string): Buffer {
  if (!ESCAPED.test(text)) return Buffer.from(text);
  const parts: Buffer[] = [];
  let end = 0;
  for (const match of text.matchAll(ALL_ESCAPED)) {
    parts.push(Buffer.from(text.slice(end, match.index)), Buffer.from([match[0].charCodeAt(0) - 0xdc00]));
    end = match.index + 1;
  }
  parts.push(Buffer.from(text.slice(end)));
  return Buffer.concat(parts);
}

/** The one text of the bytes that `text` stands for: two texts with the same bytes become the same. */
export function canonicalText(text: string): string {
  return SURROGATE.test(text) ? textOfBytes(bytesOfText(text)) : text;
}

const ESCAPED = /[\udc80-\udcff]/u;
const ALL_ESCAPED = /[\udc80-\udcff]/gu;
const SURROGATE = /[\ud800-\udfff]/u;
