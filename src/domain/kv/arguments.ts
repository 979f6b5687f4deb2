import { IsthmusError } from '../../lib/errors.ts';
import type { KvOperation } from '../../model/kv.ts';

const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;
const DIGITS = /^(?:0|[1-9][0-9]{0,19})$/;
const MAX_FLAGS = 2n ** 64n - 1n;

/** Throws `invalid_argument` unless what another process sent is an operation: what is stored is shown to others. */
export function requireOperation(operation: KvOperation): KvOperation {
  const { Verb, Key, Value = '', Flags = 0, Index = 0, Session = '' } = operation;
  if (typeof Verb !== 'string' || typeof Key !== 'string' || typeof Session !== 'string')
    throw wrong('Verb, Key and Session are texts');
  if (typeof Value !== 'string' || Value.length % 4 !== 0 || !BASE64.test(Value)) throw wrong('Value is base64');
  if (!isCount(Index)) throw wrong('Index is a number');
  if (typeof Flags === 'string' ? !DIGITS.test(Flags) || BigInt(Flags) > MAX_FLAGS : !isCount(Flags))
    throw wrong('Flags are a number of 64 bits');
  return operation;
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function wrong(text: string): IsthmusError {
  return new IsthmusError('invalid_argument', `operation on keys: ${text}`);
}
