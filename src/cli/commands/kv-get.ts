import type { KvEntry } from '../../model/kv.ts';
import { type Command, type CommandContext, doing } from '../command.ts';
import { UsageError } from '../flags.ts';
import { bytesOf, keyArgument, printable, requireArguments } from './kv-common.ts';

const FAILED = 'Error querying Consul agent';

export const kvGet: Command = {
  path: ['kv', 'get'],
  synopsis: 'Read a value of the key/value store, or list keys',
  argsUsage: 'KEY_OR_PREFIX',
  about:
    'Prints the value of a key. With -recurse, all keys that begin with the argument and their values; with -keys, ' +
    'only their names.',
  flags: [
    { name: 'base64', kind: 'bool', about: 'Print values in base64.' },
    { name: 'detailed', kind: 'bool', about: 'Also print indexes, flags and the session that holds the lock.' },
    { name: 'keys', kind: 'bool', about: 'Only names of keys that begin with the argument.' },
    { name: 'recurse', kind: 'bool', about: 'All keys that begin with the argument.' },
    {
      name: 'separator',
      kind: 'text',
      placeholder: 'text',
      about: 'With -keys: names end at the first one after the prefix; default /, empty lists whole names.',
    },
  ],
  api: 'server',
  async run(context) {
    const { args, flags, client, io, json, printJson, print, complain } = context;
    requireArguments(args, 1, '1');
    const several = flags.bool('keys') || flags.bool('recurse');
    if (args.length === 0 && !several) throw new UsageError('Error! Missing KEY argument');
    const key = keyArgument(args[0] ?? '');
    const { kv } = client();
    if (flags.bool('keys')) {
      const separator = flags.has('separator') ? flags.text('separator') : '/';
      const { value: names } = await doing(FAILED, kv.keys(key, separator));
      if (json) printJson(names);
      else for (const name of names) print(name);
      return 0;
    }
    if (flags.bool('recurse')) {
      const { value: entries } = await doing(FAILED, kv.list(key));
      if (json) printJson(entries);
      else for (const [at, entry] of entries.entries()) printOne(context, entry, at < entries.length - 1);
      return 0;
    }
    const { value: entry } = await doing(FAILED, kv.get(key));
    if (entry === undefined) {
      complain(`Error! No key exists at: ${key}`);
      return 1;
    }
    if (json) printJson(entry);
    else if (flags.bool('detailed')) io.out(detailed(entry, flags.bool('base64')));
    else {
      io.out(shown(entry, flags.bool('base64')));
      io.out('\n');
    }
    return 0;
  },
};

function printOne({ flags, io }: CommandContext, entry: KvEntry, more: boolean): void {
  if (flags.bool('detailed')) {
    io.out(detailed(entry, flags.bool('base64')));
    if (more) io.out('\n');
    return;
  }
  io.out(`${entry.Key}:`);
  io.out(shown(entry, flags.bool('base64')));
  io.out('\n');
}

function shown(entry: KvEntry, base64: boolean): string | Uint8Array {
  return base64 ? (entry.Value ?? '') : printable(bytesOf(entry));
}

/** Width of the first column, as Consul's. */
const NAMES = 17;

function detailed(entry: KvEntry, base64: boolean): Uint8Array {
  const rows: readonly (readonly [string, string | number])[] = [
    ['CreateIndex', entry.CreateIndex],
    ['Flags', entry.Flags],
    ['Key', entry.Key],
    ['LockIndex', entry.LockIndex],
    ['ModifyIndex', entry.ModifyIndex],
    ['Session', entry.Session ?? '-'],
  ];
  const lines = rows.map(([name, value]) => `${name.padEnd(NAMES)}${value}\n`).join('');
  const value = shown(entry, base64);
  return Buffer.concat([
    Buffer.from(`${lines}${'Value'.padEnd(NAMES)}`),
    typeof value === 'string' ? Buffer.from(value) : value,
    Buffer.from('\n'),
  ]);
}
