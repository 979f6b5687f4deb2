import type { AclApi } from '../../client/acl.ts';
import { type Command, doing } from '../command.ts';
import { type FlagSpec, Flags, UsageError } from '../flags.ts';
import { GRANT_FLAGS, grantsOf, META, merged, ROLE_FLAGS, show, tokenText, wholeId } from './acl-common.ts';

/** The name of today, and the one before it. */
const ID: readonly FlagSpec[] = [
  { name: 'accessor-id', kind: 'text', placeholder: 'accessor', about: 'AccessorID, or the start of it.' },
  { name: 'id', kind: 'text', placeholder: 'accessor', about: 'The same, as older versions of Consul name it.' },
];
const DESCRIPTION: FlagSpec = { name: 'description', kind: 'text', placeholder: 'text', about: 'What it is for.' };

const accessorOf = (id: string, acl: AclApi): Promise<string> =>
  wholeId(
    id,
    () => acl.tokens.list(),
    (token) => token.AccessorID,
  );

function required(flags: Flags, text: string): string {
  const id = flags.text('accessor-id') || flags.text('id');
  if (id === '') throw new UsageError(text);
  return id;
}

const create: Command = {
  path: ['acl', 'token', 'create'],
  synopsis: 'Create a token',
  flags: [
    { name: 'accessor', kind: 'text', placeholder: 'uuid', about: 'AccessorID to give it; else a random one.' },
    { name: 'secret', kind: 'text', placeholder: 'uuid', about: 'Secret to give it; else a random one.' },
    DESCRIPTION,
    { name: 'local', kind: 'bool', about: 'It belongs to one datacenter alone and is not replicated.' },
    { name: 'expires-ttl', kind: 'duration', placeholder: 'duration', about: 'How long it lives: 1m to 24h.' },
    ...GRANT_FLAGS,
    ...ROLE_FLAGS,
    META,
  ],
  api: 'server',
  async run(context) {
    const { acl } = context.client();
    const { flags } = context;
    const grants = await grantsOf(flags, acl);
    if (Object.values(grants).every((list) => list.length === 0))
      throw new UsageError(
        'Cannot create a token without specifying -policy-name, -policy-id, -role-name, -role-id, ' +
          '-service-identity, or -node-identity at least once',
      );
    const token = await doing(
      'Failed to create new token',
      acl.tokens.create({
        Description: flags.text('description'),
        Local: flags.bool('local'),
        ...grants,
        ...(flags.has('accessor') ? { AccessorID: flags.text('accessor') } : {}),
        ...(flags.has('secret') ? { SecretID: flags.text('secret') } : {}),
        ...(flags.has('expires-ttl') ? { ExpirationTTL: flags.text('expires-ttl') } : {}),
      }),
    );
    show(context, token, tokenText);
    return 0;
  },
};

const read: Command = {
  path: ['acl', 'token', 'read'],
  synopsis: 'Show a token',
  flags: [...ID, { name: 'self', kind: 'bool', about: 'The token that this command itself uses.' }, META],
  api: 'server',
  async run(context) {
    const { acl } = context.client();
    const { flags } = context;
    if (flags.bool('self')) {
      show(context, await doing('Error reading token', acl.tokens.self()), tokenText);
      return 0;
    }
    const id = required(flags, 'Must specify the -id parameter');
    const token = await doing(`Error reading token ${JSON.stringify(id)}`, readToken(id, acl));
    show(context, token, tokenText);
    return 0;
  },
};

async function readToken(id: string, acl: AclApi) {
  return acl.tokens.get(await accessorOf(id, acl));
}

/** What is granted beside what was: the flags of today for each kind of grant. */
const APPEND_FLAGS: readonly FlagSpec[] = [...GRANT_FLAGS, ...ROLE_FLAGS].map((flag) => ({
  ...flag,
  name: `append-${flag.name}`,
  about: `${flag.about} What was granted before stays.`,
}));

/** True when grants of this kind are added to those that were there. */
function appends(flags: Flags, kind: 'policy' | 'role' | 'service-identity' | 'node-identity'): boolean {
  return APPEND_FLAGS.some(({ name }) => name.startsWith(`append-${kind}`) && flags.has(name));
}

/** `-append-policy-id x` also as `-policy-id x`. */
function withAppended(flags: Flags): Flags {
  return new Flags(flags.given.map(([name, value]) => [name.replace(/^append-/, ''), value] as const));
}

const update: Command = {
  path: ['acl', 'token', 'update'],
  synopsis: 'Change a token',
  about: 'Replaces what the token grants; with -append-…, or the older -merge-…, adds to it.',
  flags: [
    ...ID,
    DESCRIPTION,
    ...APPEND_FLAGS,
    { name: 'merge-policies', kind: 'bool', about: 'Keep its policies.' },
    { name: 'merge-roles', kind: 'bool', about: 'Keep its roles.' },
    { name: 'merge-service-identities', kind: 'bool', about: 'Keep its service identities.' },
    { name: 'merge-node-identities', kind: 'bool', about: 'Keep its node identities.' },
    ...GRANT_FLAGS,
    ...ROLE_FLAGS,
    META,
  ],
  api: 'server',
  async run(context) {
    const { acl } = context.client();
    const { flags, json, print } = context;
    const id = required(flags, 'Cannot update a token without specifying the -id parameter');
    const before = await doing(`Error when retrieving current token`, readToken(id, acl));
    const given = await grantsOf(withAppended(flags), acl);
    const keeps = (merge: string, kind: Parameters<typeof appends>[1]): boolean =>
      flags.bool(merge) || appends(flags, kind);
    const token = await doing(
      `Failed to update token ${before.AccessorID}`,
      acl.tokens.update(before.AccessorID, {
        Description: flags.has('description') ? flags.text('description') : before.Description,
        Policies: merged(keeps('merge-policies', 'policy') ? before.Policies : [], given.Policies),
        Roles: merged(keeps('merge-roles', 'role') ? before.Roles : [], given.Roles),
        ServiceIdentities: merged(
          keeps('merge-service-identities', 'service-identity') ? before.ServiceIdentities : [],
          given.ServiceIdentities,
        ),
        NodeIdentities: merged(
          keeps('merge-node-identities', 'node-identity') ? before.NodeIdentities : [],
          given.NodeIdentities,
        ),
      }),
    );
    if (!json) print('Token updated successfully.');
    show(context, token, tokenText);
    return 0;
  },
};

const clone: Command = {
  path: ['acl', 'token', 'clone'],
  synopsis: 'Create a token with the grants of another',
  flags: [...ID, DESCRIPTION, META],
  api: 'server',
  async run(context) {
    const { acl } = context.client();
    const { flags, json, print } = context;
    const id = required(flags, 'Cannot clone a token without specifying the -id parameter');
    const accessor = await doing('Error determining token ID', accessorOf(id, acl));
    const token = await doing('Error cloning token', acl.tokens.clone(accessor, flags.text('description')));
    if (!json) print('Token cloned successfully.');
    show(context, token, tokenText);
    return 0;
  },
};

const remove: Command = {
  path: ['acl', 'token', 'delete'],
  synopsis: 'Delete a token',
  flags: ID,
  api: 'server',
  async run({ client, flags, json, print, printJson }) {
    const { acl } = client();
    const id = required(flags, 'Must specify the -id parameter');
    const accessor = await doing('Error determining token ID', accessorOf(id, acl));
    await doing(`Error deleting token ${JSON.stringify(accessor)}`, acl.tokens.delete(accessor));
    if (json) printJson({ Deleted: accessor });
    else print(`Token ${JSON.stringify(accessor)} deleted successfully`);
    return 0;
  },
};

const list: Command = {
  path: ['acl', 'token', 'list'],
  synopsis: 'List all tokens',
  flags: [META],
  api: 'server',
  async run({ client, flags, json, print, printJson }) {
    const tokens = await doing('Failed to retrieve the token list', client().acl.tokens.list());
    if (json) printJson(tokens);
    else print(tokens.map((token) => tokenText(token, flags.bool('meta'))).join('\n\n'));
    return 0;
  },
};

export const aclTokenCommands: readonly Command[] = [clone, create, remove, list, read, update];
