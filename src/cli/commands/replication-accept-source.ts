import { type Command, doing } from '../command.ts';
import { UsageError } from '../flags.ts';

export const replicationAcceptSource: Command = {
  path: ['replication', 'accept-source'],
  synopsis: 'Follow the primary although its store is older than what was taken over, or another one',
  argsUsage: 'KIND',
  about:
    'A secondary refuses to follow a primary that went back in time, because that would delete what the newer state ' +
    'held. When the primary was restored on purpose, this command says so: run it in each secondary, with the kind ' +
    'that ' +
    '"isthmus replication status" shows as refused.',
  flags: [],
  api: 'server',
  async run({ args, client, print }) {
    const [kind, ...rest] = args;
    if (kind === undefined || rest.length > 0) throw new UsageError('Must specify one argument: the kind');
    await doing('Error accepting the source', client().operator.acceptReplicationSource(kind));
    print(`Accepted: ${kind} follows the primary as it is now.`);
    return 0;
  },
};
