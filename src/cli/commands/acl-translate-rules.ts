import type { Command } from '../command.ts';

export const aclTranslateRules: Command = {
  path: ['acl', 'translate-rules'],
  synopsis: 'Refused: there are no rules of the older system here',
  argsUsage: '[RULES]',
  about:
    'Consul had another system of access control before its version 1.4, and this command translated its rules. ' +
    'Isthmus never had that system. Translate with Consul, then give the result to "isthmus acl policy create".',
  flags: [
    { name: 'token-secret', kind: 'bool', about: 'As in Consul; no effect.' },
    { name: 'token-accessor', kind: 'bool', about: 'As in Consul; no effect.' },
  ],
  api: 'server',
  async run({ complain }) {
    complain(
      'Rules of the access control before Consul 1.4 are not supported. Translate them with Consul, or write them ' +
        'again: a rule for all names that begin with a text is now "service_prefix" instead of "service".',
    );
    return 1;
  },
};
