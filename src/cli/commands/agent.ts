import type { Command } from '../command.ts';
import { AGENT_FLAGS, loadInput } from './agent-flags.ts';

export const agent: Command = {
  path: ['agent'],
  synopsis: 'Run an agent: a server of a datacenter, or the agent of a node',
  about:
    'SIGTERM or SIGINT stop it; SIGHUP makes it read its configuration again. "isthmus agent -dev" needs no ' +
    'configuration.\n\n' +
    'When it is ready, it prints one line: ==> Isthmus agent ready: {"node": …, "http": …}. Its log goes to ' +
    'standard error. ' +
    'docs/configuration.md lists every key and flag.',
  flags: AGENT_FLAGS,
  api: 'none',
  async run({ flags }) {
    const input = loadInput(flags);
    const { runAgent } = await import('../../daemon/main.ts');
    return runAgent({ input });
  },
};
