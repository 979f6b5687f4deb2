import { type Command, doing } from '../command.ts';
import { UsageError } from '../flags.ts';
import { DATACENTER_FLAGS, pairOf } from './intention-common.ts';

export const intentionDelete: Command = {
  path: ['intention', 'delete'],
  synopsis: 'Delete an intention',
  argsUsage: 'SRC DST | ID',
  flags: DATACENTER_FLAGS,
  api: 'server',
  async run({ args, client, flags, json, printJson, print }) {
    const [first, second] = args;
    if (first === undefined || args.length > 2) {
      throw new UsageError(
        'Error: command requires exactly 1 or 2 arguments: an intention ID, or source and destination',
      );
    }
    const { intentions } = client();
    await doing(
      'Error deleting the intention',
      second === undefined ? intentions.delete(first) : intentions.deleteExact(pairOf(first, second, flags)),
    );
    if (json) printJson({ Deleted: true });
    else print('Intention deleted.');
    return 0;
  },
};
