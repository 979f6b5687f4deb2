import { type Command, doing } from '../command.ts';
import { UsageError } from '../flags.ts';

export const configList: Command = {
  path: ['config', 'list'],
  synopsis: 'List the configuration entries of a kind',
  flags: [
    { name: 'kind', kind: 'text', placeholder: 'kind', about: 'Kind of the entries.' },
    { name: 'filter', kind: 'text', placeholder: 'expression', about: 'Only entries that it selects.' },
  ],
  api: 'server',
  async run({ client, flags, json, printJson, print }) {
    const kind = flags.text('kind');
    if (kind === '') throw new UsageError('Must specify the -kind parameter');
    const call = flags.has('filter') ? { filter: flags.text('filter') } : {};
    const { value } = await doing(
      `Error listing config entries for kind ${JSON.stringify(kind)}`,
      client().config.list(kind, call),
    );
    if (json) printJson(value);
    else for (const entry of value) print(entry.Name);
    return 0;
  },
};
