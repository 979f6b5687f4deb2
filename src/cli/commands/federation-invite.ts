import { tryParseDuration } from '../../lib/duration.ts';
import { attempting, type Command, type CommandContext, doing } from '../command.ts';
import { UsageError } from '../flags.ts';
import { columns } from '../output.ts';
import { saveNew } from './new-files.ts';

export const federationInvite: Command = {
  path: ['federation', 'invite'],
  synopsis: 'Invite a new datacenter, or an agent of this one',
  about:
    'Prints an invitation: one line with a secret that is good once and for a limited time. The new datacenter ' +
    'starts its first server with "isthmus agent -join-invite FILE" and gets its certificates, its replication ' +
    'token and its link with it.\n\n' +
    'Ask a server of the primary, whose certificates Isthmus manages (tls { internal_rpc { managed = true } }). An ' +
    'ACL token needs operator = "write".',
  flags: [
    {
      name: 'joining',
      kind: 'text',
      placeholder: 'name',
      about: 'The only datacenter that may use it. Default: any new one.',
    },
    { name: 'agent', kind: 'bool', about: 'Invite a client agent of the datacenter that is asked.' },
    { name: 'ttl', kind: 'duration', placeholder: 'duration', about: 'How long it is valid. Default 24h.' },
    {
      name: 'address',
      kind: 'list',
      placeholder: 'host:port',
      about: 'Address that the new datacenter connects to. Default: the WAN address of the asked server.',
    },
    { name: 'out', kind: 'text', placeholder: 'file', about: 'Write it to a new file that only its owner may read.' },
    { name: 'list', kind: 'bool', about: 'List invitations and whether they were used.' },
    { name: 'revoke', kind: 'text', placeholder: 'id', about: 'Revoke one.' },
  ],
  api: 'server',
  async run(context) {
    const { flags } = context;
    if (flags.bool('list')) return list(context);
    if (flags.has('revoke')) return revoke(context, flags.text('revoke'));
    return invite(context);
  },
};

async function invite({ client, flags, io, json, print, complain, printJson }: CommandContext): Promise<number> {
  const out = flags.text('out');
  if (out !== '' && io.exists(out)) throw new UsageError(`${out} already exists.`);
  const ttl = tryParseDuration(flags.text('ttl'));
  const made = await doing(
    'Error inviting',
    client().operator.invite({
      ...(flags.bool('agent') ? { Kind: 'agent' } : {}),
      ...(flags.has('joining') ? { JoiningDatacenter: flags.text('joining') } : {}),
      ...(ttl === undefined ? {} : { TTL: ttl }),
      ...(flags.has('address') ? { Addresses: flags.list('address') } : {}),
    }),
  );
  const { ID: id, Invitation: text, ExpiresAt: until } = made;
  if (out !== '') attempting('Error saving the invitation', () => saveNew(io, out, `${text}\n`, 0o600));
  if (json) printJson(out === '' ? made : { ID: id, File: out, ExpiresAt: until });
  else if (out === '') print(text);
  else print(`==> Saved ${out}`);
  complain(`==> Invitation ${id}, good once until ${until}. Whoever has it can join: keep it secret.`);
  return 0;
}

async function list({ client, json, print, printJson }: CommandContext): Promise<number> {
  const found = await doing('Error listing the invitations', client().operator.invitations());
  if (json) printJson(found);
  else if (found.length === 0) print('There are no invitations.');
  else {
    const rows = found.map(({ ID, Kind, JoiningDatacenter, State, ExpiresAt, UsedBy }) => [
      ID,
      Kind,
      JoiningDatacenter || '-',
      State,
      ExpiresAt,
      UsedBy || '-',
    ]);
    print(columns([['ID', 'Kind', 'For', 'State', 'Expires', 'Used by'], ...rows]));
  }
  return 0;
}

async function revoke({ client, json, print, printJson }: CommandContext, id: string): Promise<number> {
  await doing('Error revoking the invitation', client().operator.revokeInvitation(id));
  if (json) printJson({ Revoked: id });
  else print(`Invitation ${id} revoked`);
  return 0;
}
