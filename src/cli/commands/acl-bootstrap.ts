import { type Command, doing } from '../command.ts';
import { META, show, tokenText } from './acl-common.ts';

export const aclBootstrap: Command = {
  path: ['acl', 'bootstrap'],
  synopsis: 'Make the first token, which has all rights',
  about:
    'Possible once. To do it again, write the reset index of the error message into the file acl-bootstrap-reset in ' +
    'the data directory of the primary.',
  flags: [META],
  api: 'server',
  async run(context) {
    const token = await doing('Failed ACL bootstrapping', context.client().acl.bootstrap());
    show(context, token, tokenText);
    return 0;
  },
};
