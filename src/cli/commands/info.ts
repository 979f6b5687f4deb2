import { type Command, doing } from '../command.ts';

export const info: Command = {
  path: ['info'],
  synopsis: 'Show figures of the agent',
  flags: [],
  api: 'agent',
  async run({ client, json, printJson, print }) {
    const { Stats } = await doing('Error querying agent', client().agent.self());
    if (json) {
      printJson(Stats);
      return 0;
    }
    for (const [section, figures] of Object.entries(Stats).sort(byName)) {
      print(`${section}:`);
      for (const [name, value] of Object.entries(figures).sort(byName)) print(`\t${name} = ${value}`);
    }
    return 0;
  },
};

function byName([a]: [string, unknown], [b]: [string, unknown]): number {
  return a < b ? -1 : 1;
}
