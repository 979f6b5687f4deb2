import { type Command, doing } from '../command.ts';
import { UsageError } from '../flags.ts';
import { CAS_FLAGS, keyArgument, requireArguments } from './kv-common.ts';

export const kvDelete: Command = {
  path: ['kv', 'delete'],
  synopsis: 'Delete a key of the key/value store, or all that begin with a prefix',
  argsUsage: 'KEY_OR_PREFIX',
  flags: [...CAS_FLAGS, { name: 'recurse', kind: 'bool', about: 'All keys that begin with the argument.' }],
  api: 'server',
  async run({ args, flags, client, json, printJson, print, complain }) {
    requireArguments(args, 1, '1');
    const recurse = flags.bool('recurse');
    const cas = flags.bool('cas');
    if (args[0] === undefined && !recurse) throw new UsageError('Error! Missing KEY argument');
    if (cas && recurse) throw new UsageError('Cannot specify both -cas and -recurse!');
    const index = flags.number('modify-index', 0);
    if (!cas && flags.has('modify-index')) throw new UsageError('Cannot specify -modify-index without -cas!');
    if (cas && index === 0)
      throw new UsageError('Cannot delete a key that does not exist. Provide a -modify-index greater than than 0.');
    const key = keyArgument(args[0] ?? '');
    const { kv } = client();
    const done = await doing(
      `Error! Did not delete ${recurse ? 'prefix' : 'key'} ${key}`,
      recurse ? kv.deleteTree(key).then(() => true) : kv.delete(key, cas ? index : undefined),
    );
    if (!done) {
      complain(`Error! Did not delete key ${key}: CAS failed`);
      return 1;
    }
    if (json) printJson({ Deleted: key });
    else print(recurse ? `Success! Deleted keys with prefix: ${key}` : `Success! Deleted key: ${key}`);
    return 0;
  },
};
