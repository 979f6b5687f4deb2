import { type Command, doing } from '../command.ts';
import { UsageError } from '../flags.ts';

export const configDelete: Command = {
  path: ['config', 'delete'],
  synopsis: 'Delete a configuration entry',
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
    await doing(`Error deleting config entry ${kind}/${name}`, client().config.delete(kind, name));
    if (json) printJson({ Deleted: `${kind}/${name}` });
    else print(`Config entry deleted: ${kind}/${name}`);
    return 0;
  },
};
