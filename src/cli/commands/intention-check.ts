import { type Command, doing } from '../command.ts';
import { DATACENTER_FLAGS, twoNames } from './intention-common.ts';

/** As Consul, for scripts: a denied connection is exit code 1, a failure 2. */
const DENIED = 1;
const FAILED = 2;

export const intentionCheck: Command = {
  path: ['intention', 'check'],
  synopsis: 'Check whether a service may connect to another one',
  argsUsage: 'SRC DST',
  about:
    'Prints Allowed (exit code 0) or Denied (exit code 1); exit code 2 is a failure. "isthmus intention explain" ' +
    'says why.',
  failureCode: FAILED,
  flags: DATACENTER_FLAGS,
  api: 'server',
  async run(context) {
    const pair = twoNames(context, 'Error: requires exactly two arguments: source and destination');
    const allowed = await doing('Error checking the connection', context.client().intentions.check(pair));
    if (context.json) context.printJson({ Allowed: allowed });
    else context.print(allowed ? 'Allowed' : 'Denied');
    return allowed ? 0 : DENIED;
  },
};
