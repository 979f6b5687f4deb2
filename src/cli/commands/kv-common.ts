import { isUtf8 } from 'node:buffer';
import type { KvEntry } from '../../model/kv.ts';
import { attempting, type Io } from '../command.ts';
import { type FlagSpec, UsageError } from '../flags.ts';

export const CAS_FLAGS: readonly FlagSpec[] = [
  { name: 'cas', kind: 'bool', about: 'Only when the key has the index of -modify-index.' },
  {
    name: 'modify-index',
    kind: 'number',
    placeholder: 'index',
    about: 'ModifyIndex for -cas; 0 means that there must be no such key.',
  },
];

/** No key begins with a slash, which people like to write. */
export function keyArgument(text: string): string {
  return text.replace(/^\//, '');
}

export function requireArguments(args: readonly string[], most: number, wanted: string): void {
  if (args.length > most) throw new UsageError(`Error! Too many arguments (expected ${wanted}, got ${args.length})`);
}

/** `@file`, `-` for standard input, else the text itself. */
export async function dataArgument(text: string, io: Io): Promise<Uint8Array> {
  if (text === '-') return io.readStdinBytes();
  if (text.startsWith('@'))
    return attempting(`Error! Failed to read file ${JSON.stringify(text.slice(1))}`, () => io.readBytes(text.slice(1)));
  return Buffer.from(text);
}

export function bytesOf({ Value }: Pick<KvEntry, 'Value'>): Buffer {
  return Buffer.from(Value ?? '', 'base64');
}

/** As it is: a value need not be text. */
export function printable(value: Buffer): string | Uint8Array {
  return isUtf8(value) ? value.toString('utf8') : value;
}
