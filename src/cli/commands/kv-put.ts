import type { PutOptions } from '../../client/kv.ts';
import { type Command, CommandFailure, doing } from '../command.ts';
import { type Flags, UsageError } from '../flags.ts';
import { CAS_FLAGS, dataArgument, keyArgument, requireArguments } from './kv-common.ts';

export const kvPut: Command = {
  path: ['kv', 'put'],
  synopsis: 'Set a key of the key/value store',
  argsUsage: 'KEY [DATA]',
  about: 'DATA is the value; @file is what the file holds, - is standard input, and nothing is an empty value.',
  flags: [
    ...CAS_FLAGS,
    { name: 'acquire', kind: 'bool', about: 'Take the lock on the key for -session.' },
    { name: 'release', kind: 'bool', about: 'Let go of the lock that -session holds.' },
    { name: 'session', kind: 'text', placeholder: 'id', about: 'Session for -acquire and -release.' },
    { name: 'flags', kind: 'text', placeholder: 'number', about: 'Number of 64 bits that is kept with the value.' },
    { name: 'base64', kind: 'bool', about: 'DATA is base64.' },
  ],
  api: 'server',
  async run({ args, flags, client, io, json, printJson, print, complain }) {
    requireArguments(args, 2, '1 or 2');
    if (args[0] === undefined) throw new UsageError('Error! Missing KEY argument');
    const key = keyArgument(args[0]);
    const options = putOptions(flags);
    let data = await doing('Error!', dataArgument(args[1] ?? '', io));
    if (flags.bool('base64')) data = decodeBase64(data);
    const done = await doing(`Error! Failed writing data`, client().kv.put(key, data, options));
    if (!done) {
      complain(refusal(key, options));
      return 1;
    }
    if (json) printJson({ Written: key });
    else if (options.acquire !== undefined) print(`Success! Lock acquired on: ${key}`);
    else if (options.release !== undefined) print(`Success! Lock released on: ${key}`);
    else print(`Success! Data written to: ${key}`);
    return 0;
  },
};

function putOptions(flags: Flags): PutOptions {
  const session = flags.text('session');
  const cas = flags.bool('cas');
  for (const name of ['acquire', 'release'])
    if (flags.bool(name) && session === '') throw new UsageError(`Error! Missing -session (required with -${name})`);
  if ([cas, flags.bool('acquire'), flags.bool('release')].filter(Boolean).length > 1)
    throw new UsageError('Error! Only one of -cas, -acquire and -release can be given');
  const given = flags.has('flags') ? flags.text('flags') : '0';
  if (!/^[0-9]{1,20}$/.test(given) || BigInt(given) >= 2n ** 64n)
    throw new UsageError(`Error! -flags takes a number of 64 bits, not ${JSON.stringify(given)}`);
  return {
    ...(given === '0' ? {} : { flags: given }),
    ...(cas ? { cas: flags.number('modify-index', 0) } : {}),
    ...(flags.bool('acquire') ? { acquire: session } : {}),
    ...(flags.bool('release') ? { release: session } : {}),
  };
}

function refusal(key: string, { cas, acquire }: PutOptions): string {
  if (cas === 0) return `Error! Did not write to ${key}: CAS performed with index=0 and key already exists.`;
  if (cas !== undefined) return `Error! Did not write to ${key}: CAS failed`;
  return acquire === undefined ? 'Error! Did not release lock' : 'Error! Did not acquire lock';
}

function decodeBase64(data: Uint8Array): Uint8Array {
  const text = Buffer.from(data).toString('latin1').trim();
  if (!/^[A-Za-z0-9+/\r\n]*={0,2}$/.test(text))
    throw new CommandFailure('Error! Cannot base64 decode data', new UsageError('it is not base64'));
  return Buffer.from(text, 'base64');
}
