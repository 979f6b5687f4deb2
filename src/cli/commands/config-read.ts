import { type Command, doing } from '../command.ts';
import { UsageError } from '../flags.ts';

export const configRead: Command = {
  path: ['config', 'read'],
  synopsis: 'Show a configuration entry',
  flags: [
    { name: 'kind', kind: 'text', placeholder: 'kind', about: 'Kind of the entry.' },
    { name: 'name', kind: 'text', placeholder: 'name', about: 'Name of the entry.' },
  ],
  api: 'server',
  async run({ client, flags, json, printJson, print }) {
    const kind = flags.text('kind');
    const name = flags.text('name');
    if (kind === '') throw new UsageError('Must specify the -kind parameter');
    if (name === '') throw new UsageError('Must specify the -name parameter');
    const { value } = await doing(`Error reading config entry ${kind}/${name}`, client().config.get(kind, name));
    if (json) printJson(value);
    else print(JSON.stringify(value, null, 4));
    return 0;
  },
};
