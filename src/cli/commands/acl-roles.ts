import type { AclRole } from '../../client/acl.ts';
import { type Command, doing } from '../command.ts';
import { type FlagSpec, UsageError } from '../flags.ts';
import { columns } from '../output.ts';
import { GRANT_FLAGS, grantLines, grantsOf, META, merged, roleText } from './acl-common.ts';
import { ID, NAME, namedCommands } from './acl-named.ts';

const DESCRIPTION: FlagSpec = { name: 'description', kind: 'text', placeholder: 'text', about: 'What it is for.' };

const named = namedCommands({
  kind: 'role',
  plural: 'roles',
  api: (acl) => acl.roles,
  text: roleText,
  line,
});

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
    named.show(context, role);
    return 0;
  },
};

const update: Command = {
  path: ['acl', 'role', 'update'],
  synopsis: 'Change a role',
  about:
    'Adds the policies and identities to those of the role; -no-merge replaces them. -id with -name renames the role.',
  flags: [
    ID,
    NAME,
    DESCRIPTION,
    { name: 'no-merge', kind: 'bool', about: 'Replace its policies and identities.' },
    ...GRANT_FLAGS,
    META,
  ],
  api: 'server',
  async run(context) {
    const { flags } = context;
    const { acl } = context.client();
    const before = await doing('Error reading role', named.find(flags, acl));
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
    named.show(context, role);
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

export const aclRoleCommands: readonly Command[] = [create, named.remove, named.list, named.read, update];
