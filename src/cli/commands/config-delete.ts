import { type Command, doing } from '../command.ts';
import { ENTRY_FLAGS, entryOf } from './config-common.ts';

export const configDelete: Command = {
  path: ['config', 'delete'],
  synopsis: 'Delete a configuration entry',
  flags: ENTRY_FLAGS,
  api: 'server',
  async run({ client, flags, json, printJson, print }) {
    const { kind, name } = entryOf(flags);
    await doing(`Error deleting config entry ${kind}/${name}`, client().config.delete(kind, name));
    if (json) printJson({ Deleted: `${kind}/${name}` });
    else print(`Config entry deleted: ${kind}/${name}`);
    return 0;
  },
};
