import { IsthmusError } from '../lib/errors.ts';
import type { Txn } from './engine.ts';

/** Bytes that a key may have in UTF-8: LMDB's limit with pages of 4 KiB, kept by every engine. */
export const MAX_KEY_BYTES = 1978;

const LONE_SURROGATE = /[\uD800-\uDFFF]/u;

/** Throws `invalid_argument` unless every engine can hold the transaction's keys and each is written at most once. */
export function checkTxn(txn: Txn): void {
  for (const { key } of txn.compare) checkKey(key);
  const written = txn.ops.length > 1 ? new Set<string>() : undefined;
  for (const { key } of txn.ops) {
    checkKey(key);
    if (written === undefined) continue;
    if (written.has(key)) throw new IsthmusError('invalid_argument', `key ${shown(key)} is written twice in one step`);
    written.add(key);
  }
}

/** Throws `invalid_argument` unless a restore can take `key` after `before` ('' for the first one). */
export function checkRestoredKey(key: string, before: string): void {
  checkKey(key);
  if (before !== '' && compareKeys(before, key) >= 0)
    throw new IsthmusError('invalid_argument', `key ${shown(key)} does not come after ${shown(before)}: not in order`);
}

function checkKey(key: string): void {
  if (key === '') throw new IsthmusError('invalid_argument', 'a key must not be empty');
  // A UTF-16 unit is at most three bytes, so short keys need no count.
  if (key.length * 3 > MAX_KEY_BYTES && Buffer.byteLength(key) > MAX_KEY_BYTES) {
    throw new IsthmusError(
      'invalid_argument',
      `key ${shown(key)} has ${Buffer.byteLength(key)} bytes; the store takes keys of at most ${MAX_KEY_BYTES}`,
    );
  }
  if (LONE_SURROGATE.test(key)) throw new IsthmusError('invalid_argument', `key ${shown(key)} is not valid Unicode`);
}

function shown(key: string): string {
  return JSON.stringify(key.length > 60 ? `${key.slice(0, 60)}…` : key);
}

/**
 * Order of keys by their UTF-8 bytes, which is the order of code points. JavaScript's `<` compares UTF-16 units, which
 * puts U+10000 and above before U+E000 to U+FFFF.
 */
export function compareKeys(a: string, b: string): number {
  if (a === b) return 0;
  const length = Math.min(a.length, b.length);
  for (let index = 0; index < length; index += 1) {
    const left = a.charCodeAt(index);
    const right = b.charCodeAt(index);
    if (left !== right) return weight(left) - weight(right);
  }
  return a.length - b.length;
}

/** Moves surrogates above all other units, where the code points that they encode belong. */
function weight(unit: number): number {
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit;
}
