import type { AclApi, AclPolicy, AclPolicyListed } from '../../client/acl.ts';
import { type Command, doing } from '../command.ts';
import { type FlagSpec, type Flags, UsageError } from '../flags.ts';
import { columns } from '../output.ts';
import { META, policyText, rulesOf, show, wholeId } from './acl-common.ts';

const ID: FlagSpec = { name: 'id', kind: 'text', placeholder: 'id', about: 'ID, or the start of it.' };
const NAME: FlagSpec = { name: 'name', kind: 'text', placeholder: 'name', about: 'Its name.' };
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

async function find(flags: Flags, acl: AclApi): Promise<AclPolicy> {
  const id = flags.text('id');
  if (id !== '') return acl.policies.get(await idOf(id, acl));
  const name = flags.text('name');
  if (name === '') throw new UsageError('Must specify either the -id or -name parameters');
  return acl.policies.getByName(name);
}

const idOf = (id: string, acl: AclApi): Promise<string> =>
  wholeId(
    id,
    () => acl.policies.list(),
    (policy) => policy.ID,
  );

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
    show(context, policy, policyText);
    return 0;
  },
};

const read: Command = {
  path: ['acl', 'policy', 'read'],
  synopsis: 'Show a policy',
  flags: [ID, NAME, META],
  api: 'server',
  async run(context) {
    show(context, await doing('Error reading policy', find(context.flags, context.client().acl)), policyText);
    return 0;
  },
};

const update: Command = {
  path: ['acl', 'policy', 'update'],
  synopsis: 'Change a policy',
  about:
    'Changes what is given and keeps the rest; with -no-merge, what is not given is emptied. With -id, -name renames it.',
  flags: [ID, NAME, ...CONTENT, { name: 'no-merge', kind: 'bool', about: 'Empty what is not given.' }, META],
  api: 'server',
  async run(context) {
    const { flags } = context;
    const { acl } = context.client();
    const before = await doing('Error reading policy', find(flags, acl));
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
    show(context, policy, policyText);
    return 0;
  },
};

const remove: Command = {
  path: ['acl', 'policy', 'delete'],
  synopsis: 'Delete a policy',
  flags: [ID, NAME],
  api: 'server',
  async run({ client, flags, json, print, printJson }) {
    const { acl } = client();
    const id = flags.has('id')
      ? await idOf(flags.text('id'), acl)
      : (await doing('Error reading policy', find(flags, acl))).ID;
    await doing(`Error deleting policy ${JSON.stringify(id)}`, acl.policies.delete(id));
    if (json) printJson({ Deleted: id });
    else print(`Policy ${JSON.stringify(id)} deleted successfully`);
    return 0;
  },
};

const list: Command = {
  path: ['acl', 'policy', 'list'],
  synopsis: 'List all policies',
  flags: [],
  api: 'server',
  async run({ client, json, print, printJson }) {
    const policies = await doing('Failed to retrieve the policy list', client().acl.policies.list());
    if (json) printJson(policies);
    else print(policies.map(line).join('\n'));
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

export const aclPolicyCommands: readonly Command[] = [create, remove, list, read, update];
