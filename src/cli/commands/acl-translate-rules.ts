import type { Command } from '../command.ts';

export const aclTranslateRules: Command = {
  path: ['acl', 'translate-rules'],
  synopsis: 'Refused: there are no rules of the older system here',
  argsUsage: '[RULES]',
  about:
    'The peer had another system of access control before its version 1.4, and this command translated its rules. That system never existed here, so there is nothing to translate: translate with the peer, then give the result to "isthmus acl policy create".',
  flags: [
    { name: 'token-secret', kind: 'bool', about: 'As in the peer; no effect.' },
    { name: 'token-accessor', kind: 'bool', about: 'As in the peer; no effect.' },
  ],
  api: 'server',
  async run({ complain }) {
    complain(
      'Rules of the older access control system (before 1.4 of the peer) are not known here. Translate them with the peer, or write them anew: where "service" meant all names that begin so, it is now "service_prefix".',
    );
    return 1;
  },
};
