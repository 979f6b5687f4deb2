import { bytesOfText, textOfBytes } from '../../lib/bytes-in-text.ts';
import { IsthmusError } from '../../lib/errors.ts';

/**
 * A key as it is stored: one UTF-16 unit (U+0000 to U+00FF) for each of its bytes, so that texts are ordered as bytes
 * and begin with each other where the bytes do.
 */
export type StoredKey = string;

/** Bytes of a stored key in the store, at most: its table's name stands before it. */
const MAX_STORED_BYTES = 1_960;

const HIGH = /[^ -~\t\n\r]/;

/** @param text stands for bytes; see lib/bytes-in-text.ts */
export function storedKey(text: string): StoredKey {
  return HIGH.test(text) ? bytesOfText(text).toString('latin1') : text;
}

/** The text that stands for a stored key. */
export function keyText(key: StoredKey): string {
  return HIGH.test(key) ? textOfBytes(Buffer.from(key, 'latin1')) : key;
}

/** For people and the API: bytes that are no UTF-8 are shown as U+FFFD, as Go's JSON does. */
export function shownKey(key: StoredKey): string {
  return HIGH.test(key) ? Buffer.from(key, 'latin1').toString('utf8') : key;
}

/** Throws `invalid_argument` when the store can't take the key. */
export function requireKey(key: StoredKey): void {
  if (key.length * 2 <= MAX_STORED_BYTES) return; // a byte above 0x7f takes two
  const bytes = Buffer.byteLength(key);
  if (bytes <= MAX_STORED_BYTES) return;
  throw new IsthmusError(
    'invalid_argument',
    `the key is too long: ${bytes} bytes, counting those above 0x7f twice; at most ${MAX_STORED_BYTES} are taken`,
  );
}
