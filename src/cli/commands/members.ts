import type { Member } from '../../model/member.ts';
import { type Command, doing } from '../command.ts';
import { UsageError } from '../flags.ts';
import { columns, pairs } from '../output.ts';

const STATUS = ['none', 'alive', 'leaving', 'left', 'failed'];
/** No member matched. */
const NONE_FOUND = 2;

function statusOf(member: Member): string {
  return STATUS[member.Status] ?? 'unknown';
}

function withSegment(member: Member): Member {
  if ((member.Tags.segment ?? '') !== '') return member;
  const segment = member.Tags.role === 'consul' ? '<all>' : '<default>';
  return { ...member, Tags: { ...member.Tags, segment } };
}

/** Client agents listen to no other agent: they have an address without a port. */
function address(member: Member): string {
  if (member.Port === 0) return member.Addr;
  return member.Addr.includes(':') ? `[${member.Addr}]:${member.Port}` : `${member.Addr}:${member.Port}`;
}

function standardRow(member: Member): string[] {
  const { role, build = '', vsn = '', dc = '', segment = '' } = member.Tags;
  const type = role === 'consul' ? 'server' : role === 'node' ? 'client' : 'unknown';
  return [member.Name, address(member), statusOf(member), type, build.split(':')[0] ?? '', vsn, dc, segment];
}

export const members: Command = {
  path: ['members'],
  synopsis: 'List the members of the datacenter, or the servers of all',
  flags: [
    { name: 'wan', kind: 'bool', about: 'List the servers of all datacenters.' },
    { name: 'detailed', kind: 'bool', about: 'Show every tag.' },
    { name: 'status', kind: 'text', placeholder: 'regexp', about: 'Only members whose status matches.' },
    { name: 'segment', kind: 'text', placeholder: 'name', about: 'Accepted; there are no segments.' },
  ],
  api: 'agent',
  async run({ client, flags, json, printJson, print }) {
    const status = statusFilter(flags.text('status'));
    const query = flags.bool('wan') ? { wan: true } : {};
    const answer = await doing(
      'Error retrieving members',
      client().agent.members({ ...query, segment: flags.text('segment') || '_all' }),
    );
    const found = answer
      .filter((member) => status.test(statusOf(member)))
      .map(withSegment)
      .sort((a, b) => (a.Name < b.Name ? -1 : a.Name > b.Name ? 1 : 0));
    if (json) printJson(found);
    if (found.length === 0) return NONE_FOUND;
    if (json) return 0;
    const rows = flags.bool('detailed')
      ? [
          ['Node', 'Address', 'Status', 'Tags'],
          ...found.map((member) => [member.Name, address(member), statusOf(member), pairs(member.Tags, ',')]),
        ]
      : [['Node', 'Address', 'Status', 'Type', 'Build', 'Protocol', 'DC', 'Segment'], ...found.map(standardRow)];
    print(columns(rows));
    return 0;
  },
};

function statusFilter(text: string): RegExp {
  try {
    return new RegExp(text);
  } catch {
    throw new UsageError(`Failed to compile status regexp: ${text}`);
  }
}
