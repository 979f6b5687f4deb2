import { type Command, CommandFailure, doing } from '../command.ts';

export const info: Command = {
  path: ['info'],
  synopsis: 'Show figures of the agent',
  about:
    'With access control, it needs a token with agent:read. With -alive it needs no token and prints nothing: the ' +
    'exit code says ' +
    'whether the agent answers. That is for health checks of containers.',
  flags: [{ name: 'alive', kind: 'bool', about: 'Only check whether the agent answers.' }],
  api: 'agent',
  async run({ client, flags, json, printJson, print }) {
    const answer = doing('Error querying agent', client().agent.self());
    if (flags.bool('alive')) {
      await answer.catch((error: unknown) => {
        if (!(error instanceof CommandFailure) || error.reason.code !== 'permission_denied') throw error;
      });
      return 0;
    }
    const { Stats } = await answer;
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
