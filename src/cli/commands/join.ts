import { IsthmusError } from '../../lib/errors.ts';
import type { Command } from '../command.ts';
import { UsageError } from '../flags.ts';

export const join: Command = {
  path: ['join'],
  synopsis: 'Make the agent join others',
  argsUsage: 'ADDRESS…',
  flags: [{ name: 'wan', kind: 'bool', about: 'Join servers of another datacenter.' }],
  api: 'agent',
  async run({ args, client, flags, json, printJson, print, complain }) {
    if (args.length === 0) throw new UsageError('At least one address to join must be specified.');
    const joined: string[] = [];
    for (const address of args) {
      try {
        await client().agent.join(address, flags.bool('wan'));
        joined.push(address);
      } catch (error) {
        complain(`Error joining address '${address}': ${IsthmusError.from(error).message}`);
      }
    }
    if (json) printJson({ Joined: joined });
    if (joined.length === 0) {
      complain('Failed to join any nodes.');
      return 1;
    }
    if (!json) print(`Successfully joined cluster by contacting ${joined.length} nodes.`);
    return 0;
  },
};
