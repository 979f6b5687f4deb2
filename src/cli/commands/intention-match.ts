import { type Command, doing } from '../command.ts';
import { UsageError } from '../flags.ts';
import { intentionText } from './intention-common.ts';

export const intentionMatch: Command = {
  path: ['intention', 'match'],
  synopsis: 'List the intentions that match a service, most specific first',
  argsUsage: 'SERVICE',
  flags: [
    { name: 'destination', kind: 'bool', about: 'SERVICE is the destination. The default.' },
    { name: 'source', kind: 'bool', about: 'SERVICE is the source.' },
  ],
  api: 'server',
  async run({ args, client, flags, json, printJson, print }) {
    const [name] = args;
    if (name === undefined || args.length > 1) {
      throw new UsageError('Error: requires exactly one argument: src or dst');
    }
    if (flags.bool('source') && flags.bool('destination')) {
      throw new UsageError('Error: only one of -source or -destination may be specified.');
    }
    const by = flags.bool('source') ? 'source' : 'destination';
    const matches = await doing('Error matching the connection', client().intentions.match(by, name));
    if (json) printJson(matches);
    else for (const intention of matches) print(intentionText(intention));
    return 0;
  },
};
