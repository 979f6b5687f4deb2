import { randomBytes } from 'node:crypto';
import type { Command } from '../command.ts';

export const keygen: Command = {
  path: ['keygen'],
  synopsis: 'Make a random key, as Consul’s gossip takes it',
  about:
    'Prints 32 random bytes in base64. Nothing here needs such a key: there is no gossip, and TLS protects servers ' +
    'and ' +
    'agents. It is for scripts that make one, and for Consul beside it.',
  flags: [],
  api: 'none',
  async run({ print }) {
    print(randomBytes(32).toString('base64'));
    return 0;
  },
};
