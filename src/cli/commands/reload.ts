import { type Command, doing } from '../command.ts';

export const reload: Command = {
  path: ['reload'],
  synopsis: "Read the agent's configuration files again",
  about:
    'Reads the configuration files of the agent again and takes over what can change while it runs. Names changed ' +
    'keys that ' +
    'need a restart. A configuration with an error changes nothing.',
  flags: [],
  api: 'agent',
  async run({ client, json, printJson, print }) {
    const needsRestart = await doing('Error reloading', client().agent.reload());
    if (json) {
      printJson({ Reloaded: true, NeedsRestart: needsRestart });
      return 0;
    }
    print('Configuration reload triggered');
    if (needsRestart.length > 0) print(`Changed, but needs a restart: ${needsRestart.join(', ')}`);
    return 0;
  },
};
