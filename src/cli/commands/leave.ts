import { type Command, doing } from '../command.ts';

export const leave: Command = {
  path: ['leave'],
  synopsis: 'Make the agent leave its datacenter and stop',
  flags: [],
  api: 'agent',
  async run({ client, json, printJson, print }) {
    await doing('Error leaving', client().agent.leave());
    if (json) printJson({ Left: true });
    else print('Graceful leave complete');
    return 0;
  },
};
