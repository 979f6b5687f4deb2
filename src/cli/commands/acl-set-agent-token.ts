import { type Command, doing } from '../command.ts';
import { UsageError } from '../flags.ts';

const KINDS = new Map([
  ['default', 'default'],
  ['agent', 'agent'],
  ['master', 'agent_master'],
  ['recovery', 'agent_master'], // its later name in Consul
  ['replication', 'replication'],
  ['dns', 'dns'],
  ['config_file_service_registration', 'config_file_service_registration'],
]);

export const aclSetAgentToken: Command = {
  path: ['acl', 'set-agent-token'],
  synopsis: 'Set one of the tokens that an agent itself uses',
  argsUsage: 'KIND TOKEN',
  about:
    'KIND is default (requests without a token), agent (what the agent does on its own), recovery (this agent while ' +
    'no server can be reached), replication, dns or config_file_service_registration (what configuration files ' +
    'define).\n\n' +
    'The token is forgotten when the agent stops, unless acl.enable_token_persistence is set.',
  flags: [],
  api: 'agent',
  async run({ args, client, json, print, printJson }) {
    const [kind = '', secret = ''] = args;
    if (args.length !== 2) throw new UsageError('Error: command requires exactly 2 arguments: a kind and a token');
    const name = KINDS.get(kind);
    if (name === undefined) throw new UsageError(`Unknown token type: ${kind}`);
    await doing(`Failed to set ACL token ${JSON.stringify(kind)}`, client().acl.setAgentToken(name, secret));
    if (json) printJson({ Set: kind });
    else print(`ACL token ${JSON.stringify(kind)} set successfully`);
    return 0;
  },
};
