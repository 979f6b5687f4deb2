import type { AclApi, AclRole } from '../../client/acl.ts';
import { type Command, doing } from '../command.ts';
import { type FlagSpec, type Flags, UsageError } from '../flags.ts';
import { columns } from '../output.ts';
import { GRANT_FLAGS, grantLines, grantsOf, META, merged, roleText, show, wholeId } from './acl-common.ts';

const ID: FlagSpec = { name: 'id', kind: 'text', placeholder: 'id', about: 'ID, or the start of it.' };
const NAME: FlagSpec = { name: 'name', kind: 'text', placeholder: 'name', about: 'Its name.' };
const DESCRIPTION: FlagSpec = { name: 'description', kind: 'text', placeholder: 'text', about: 'What it is for.' };

async function find(flags: Flags, acl: AclApi): Promise<AclRole> {
  const id = flags.text('id');
  if (id !== '') return acl.roles.get(await idOf(id, acl));
  const name = flags.text('name');
  if (name === '') throw new UsageError('Must specify either the -id or -name parameters');
  return acl.roles.getByName(name);
}

const idOf = (id: string, acl: AclApi): Promise<string> =>
  wholeId(
    id,
    () => acl.roles.list(),
    (role) => role.ID,
  );

const create: Command = {
  path: ['acl', 'role', 'create'],
  synopsis: 'Create a role',
  flags: [NAME, DESCRIPTION, ...GRANT_FLAGS, META],
  api: 'server',
  async run(context) {
    const { flags } = context;
    const { acl } = context.client();
    if (flags.text('name') === '') throw new UsageError('Missing require -name parameter');
    const { Roles: _none, ...grants } = await grantsOf(flags, acl);
    const role = await doing(
      'Failed to create new role',
      acl.roles.create({ Name: flags.text('name'), Description: flags.text('description'), ...grants }),
    );
    show(context, role, roleText);
    return 0;
  },
};

const read: Command = {
  path: ['acl', 'role', 'read'],
  synopsis: 'Show a role',
  flags: [ID, NAME, META],
  api: 'server',
  async run(context) {
    show(context, await doing('Error reading role', find(context.flags, context.client().acl)), roleText);
    return 0;
  },
};

const update: Command = {
  path: ['acl', 'role', 'update'],
  synopsis: 'Change a role',
  about: 'Adds what is given to what the role grants; with -no-merge, replaces it. With -id, -name renames it.',
  flags: [
    ID,
    NAME,
    DESCRIPTION,
    { name: 'no-merge', kind: 'bool', about: 'Replace what it grants.' },
    ...GRANT_FLAGS,
    META,
  ],
  api: 'server',
  async run(context) {
    const { flags } = context;
    const { acl } = context.client();
    const before = await doing('Error reading role', find(flags, acl));
    const kept = flags.bool('no-merge') ? undefined : before;
    const given = await grantsOf(flags, acl);
    const role = await doing(
      'Error updating role',
      acl.roles.update(before.ID, {
        Name: flags.text('name') || before.Name,
        Description: flags.has('description') ? flags.text('description') : (kept?.Description ?? ''),
        Policies: merged(kept?.Policies, given.Policies),
        ServiceIdentities: merged(kept?.ServiceIdentities, given.ServiceIdentities),
        NodeIdentities: merged(kept?.NodeIdentities, given.NodeIdentities),
      }),
    );
    show(context, role, roleText);
    return 0;
  },
};

const remove: Command = {
  path: ['acl', 'role', 'delete'],
  synopsis: 'Delete a role',
  flags: [ID, NAME],
  api: 'server',
  async run({ client, flags, json, print, printJson }) {
    const { acl } = client();
    const id = flags.has('id')
      ? await idOf(flags.text('id'), acl)
      : (await doing('Error reading role', find(flags, acl))).ID;
    await doing(`Error deleting role ${JSON.stringify(id)}`, acl.roles.delete(id));
    if (json) printJson({ Deleted: id });
    else print(`Role ${JSON.stringify(id)} deleted successfully`);
    return 0;
  },
};

const list: Command = {
  path: ['acl', 'role', 'list'],
  synopsis: 'List all roles',
  flags: [],
  api: 'server',
  async run({ client, json, print, printJson }) {
    const roles = await doing('Failed to retrieve the role list', client().acl.roles.list());
    if (json) printJson(roles);
    else print(roles.map(line).join('\n'));
    return 0;
  },
};

function line(role: AclRole): string {
  const rows = [
    ['   ID:', role.ID],
    ['   Description:', role.Description],
  ];
  return [`${role.Name}:`, columns(rows), ...grantLines(role).map((text) => `   ${text}`)].join('\n');
}

export const aclRoleCommands: readonly Command[] = [create, remove, list, read, update];
