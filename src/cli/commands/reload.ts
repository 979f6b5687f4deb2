import { type Command, doing } from '../command.ts';

export const reload: Command = {
  path: ['reload'],
  synopsis: "Read the agent's configuration files again",
  about:
    'Reads the configuration files of the agent again and takes over what can change while it runs. The log of the agent names ' +
    'changed keys that need a restart. A configuration with an error changes nothing.',
  flags: [],
  api: 'agent',
  async run({ client, json, printJson, print }) {
    await doing('Error reloading', client().agent.reload());
    if (json) printJson({ Reloaded: true });
    else print('Configuration reload triggered');
    return 0;
  },
};
