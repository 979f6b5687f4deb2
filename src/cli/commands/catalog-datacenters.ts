import { type Command, doing } from '../command.ts';

export const catalogDatacenters: Command = {
  path: ['catalog', 'datacenters'],
  synopsis: 'List the known datacenters, nearest first',
  flags: [],
  api: 'server',
  async run({ client, json, printJson, print }) {
    const names = await doing('Error listing datacenters', client().catalog.datacenters());
    if (json) printJson(names);
    else for (const name of names) print(name);
    return 0;
  },
};
