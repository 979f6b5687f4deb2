import { type Command, doing } from '../command.ts';
import { UsageError } from '../flags.ts';

export const forceLeave: Command = {
  path: ['force-leave'],
  synopsis: 'Mark a member that failed as having left',
  argsUsage: 'NODE',
  flags: [{ name: 'prune', kind: 'bool', about: 'Also remove it from the list of members.' }],
  api: 'agent',
  async run({ args, client, flags, json, printJson }) {
    const [node] = args;
    if (node === undefined || args.length > 1) {
      throw new UsageError('A single node name must be specified to force leave.');
    }
    await doing('Error force leaving', client().agent.forceLeave(node, flags.bool('prune')));
    if (json) printJson({ Left: node });
    return 0;
  },
};
