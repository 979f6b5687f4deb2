import { jsonWithFlags } from '../../model/kv-json.ts';
import { type Command, doing } from '../command.ts';
import { keyArgument, requireArguments } from './kv-common.ts';

export const kvExport: Command = {
  path: ['kv', 'export'],
  synopsis: 'Print keys with their values as JSON, for kv import',
  argsUsage: '[KEY_OR_PREFIX]',
  flags: [],
  api: 'server',
  async run({ args, client, io }) {
    requireArguments(args, 1, '1');
    const { value } = await doing('Error! Failed to list keys', client().kv.list(keyArgument(args[0] ?? '')));
    const entries = value.map(({ Key, Flags, Value }) => ({ key: Key, Flags, value: Value ?? '' }));
    const text = jsonWithFlags(entries, '\t').replaceAll('\t\t"Flags":', '\t\t"flags":');
    io.out(`${text}\n`);
    return 0;
  },
};
