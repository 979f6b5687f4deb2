import { type Command, doing } from '../command.ts';
import { ENTRY_FLAGS, entryOf } from './config-common.ts';

export const configRead: Command = {
  path: ['config', 'read'],
  synopsis: 'Show a configuration entry',
  flags: ENTRY_FLAGS,
  api: 'server',
  async run({ client, flags, json, printJson, print }) {
    const { kind, name } = entryOf(flags);
    const { value } = await doing(`Error reading config entry ${kind}/${name}`, client().config.get(kind, name));
    if (json) printJson(value);
    else print(JSON.stringify(value, null, 4));
    return 0;
  },
};
