import { flagsAsTexts } from '../../model/kv-json.ts';
import { type Command, CommandFailure, doing } from '../command.ts';
import { UsageError } from '../flags.ts';
import { dataArgument, keyArgument, requireArguments } from './kv-common.ts';

interface Exported {
  readonly key: string;
  readonly flags: number | string;
  readonly value: string;
}

export const kvImport: Command = {
  path: ['kv', 'import'],
  synopsis: 'Write keys with their values from the JSON of kv export',
  argsUsage: 'DATA',
  about: 'DATA is the JSON; @file is what the file holds, - is standard input.',
  flags: [{ name: 'prefix', kind: 'text', placeholder: 'prefix', about: 'Stands before every key.' }],
  api: 'server',
  async run({ args, flags, client, io, json, printJson, print }) {
    requireArguments(args, 1, '1');
    if (args[0] === undefined) throw new UsageError('Error! Missing DATA argument');
    const data = await doing('Error!', dataArgument(args[0], io));
    const entries = parse(Buffer.from(data).toString('utf8'));
    const prefix = keyArgument(flags.text('prefix'));
    const { kv } = client();
    const imported: string[] = [];
    for (const entry of entries) {
      const key = `${prefix}${entry.key}`;
      await doing(`Error! Failed writing data for key ${key}`, kv.put(key, Buffer.from(entry.value, 'base64'), entry));
      imported.push(key);
      if (!json) print(`Imported: ${key}`);
    }
    if (json) printJson({ Imported: imported });
    return 0;
  },
};

/** All of it is looked at before anything is written. */
function parse(text: string): readonly Exported[] {
  let value: unknown;
  try {
    value = JSON.parse(flagsAsTexts(text));
  } catch (error) {
    throw new CommandFailure('Error! Cannot unmarshal data', error);
  }
  if (!Array.isArray(value)) throw new UsageError('Error! Cannot unmarshal data: a list of keys is expected');
  return value.map((item: unknown, at) => {
    const fields = Object.entries(typeof item === 'object' && item !== null ? item : {});
    const field = (name: string): unknown => fields.find(([key]) => key.toLowerCase() === name)?.[1];
    const [key, flags = 0, given = ''] = [field('key'), field('flags'), field('value')];
    const number = typeof flags === 'number' || typeof flags === 'string';
    if (typeof key !== 'string' || key === '' || !number || (typeof given !== 'string' && given !== null))
      throw new UsageError(`Error! Cannot unmarshal data: item ${at + 1} has no key, flags and value of an export`);
    return { key, flags, value: (given as string | null) ?? '' };
  });
}
