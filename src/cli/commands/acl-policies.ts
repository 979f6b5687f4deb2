import type { AclPolicyListed } from '../../client/acl.ts';
import { type Command, doing } from '../command.ts';
import { type FlagSpec, UsageError } from '../flags.ts';
import { columns } from '../output.ts';
import { META, policyText, rulesOf } from './acl-common.ts';
import { ID, NAME, namedCommands } from './acl-named.ts';

const CONTENT: readonly FlagSpec[] = [
  { name: 'description', kind: 'text', placeholder: 'text', about: 'What it is for.' },
  {
    name: 'rules',
    kind: 'text',
    placeholder: 'rules',
    about: 'Rules in HCL or JSON; @file reads a file, - the input.',
  },
  { name: 'valid-datacenter', kind: 'list', placeholder: 'dc', about: 'Datacenter that it is for; else all.' },
];

const named = namedCommands({
  kind: 'policy',
  plural: 'policies',
  api: (acl) => acl.policies,
  text: policyText,
  line,
});

const create: Command = {
  path: ['acl', 'policy', 'create'],
  synopsis: 'Create a policy',
  flags: [NAME, ...CONTENT, META],
  api: 'server',
  async run(context) {
    const { flags } = context;
    if (flags.text('name') === '') throw new UsageError('Missing require -name parameter');
    const policy = await doing(
      'Failed to create new policy',
      context.client().acl.policies.create({
        Name: flags.text('name'),
        Description: flags.text('description'),
        Rules: await doing('Error loading rules', rulesOf(context)),
        Datacenters: flags.list('valid-datacenter'),
      }),
    );
    named.show(context, policy);
    return 0;
  },
};

const update: Command = {
  path: ['acl', 'policy', 'update'],
  synopsis: 'Change a policy',
  about:
    'Changes what is given and keeps the rest; with -no-merge, what is not given is emptied. With -id, -name ' +
    'renames it.',
  flags: [ID, NAME, ...CONTENT, { name: 'no-merge', kind: 'bool', about: 'Empty what is not given.' }, META],
  api: 'server',
  async run(context) {
    const { flags } = context;
    const { acl } = context.client();
    const before = await doing('Error reading policy', named.find(flags, acl));
    const keep = !flags.bool('no-merge');
    const rules = await doing('Error loading rules', rulesOf(context));
    const policy = await doing(
      'Error updating policy',
      acl.policies.update(before.ID, {
        Name: flags.text('name') || before.Name,
        Description: flags.has('description') || !keep ? flags.text('description') : before.Description,
        Rules: flags.has('rules') || !keep ? rules : before.Rules,
        Datacenters:
          flags.has('valid-datacenter') || !keep ? flags.list('valid-datacenter') : (before.Datacenters ?? []),
      }),
    );
    named.show(context, policy);
    return 0;
  },
};

function line({ Name, ID: id, Description, Datacenters }: AclPolicyListed): string {
  const rows = [
    ['   ID:', id],
    ['   Description:', Description],
    ['   Datacenters:', (Datacenters ?? []).join(', ')],
  ];
  return `${Name}:\n${columns(rows)}`;
}

export const aclPolicyCommands: readonly Command[] = [create, named.remove, named.list, named.read, update];
