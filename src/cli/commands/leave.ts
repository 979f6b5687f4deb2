import { type Command, doing } from '../command.ts';
import { UsageError } from '../flags.ts';

export const leave: Command = {
  path: ['leave'],
  synopsis: 'Make the agent leave its datacenter and stop',
  flags: [],
  api: 'agent',
  async run({ args, client, json, printJson, print }) {
    if (args.length > 0) throw new UsageError(`Too many arguments (expected 0, got ${args.length})`);
    await doing('Error leaving', client().agent.leave());
    if (json) printJson({ Left: true });
    else print('Graceful leave complete');
    return 0;
  },
};
