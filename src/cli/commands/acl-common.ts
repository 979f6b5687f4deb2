import type { AclApi, AclPolicy, AclRole, AclToken, AclTokenListed } from '../../client/acl.ts';
import type { AclGrants, NodeIdentity, ServiceIdentity } from '../../model/acl.ts';
import type { CommandContext } from '../command.ts';
import { type FlagSpec, type Flags, UsageError } from '../flags.ts';
import { columns } from '../output.ts';

/** What `acl token` and `acl role` share: flags for what they grant, and how it is printed. */

export const GRANT_FLAGS: readonly FlagSpec[] = [
  { name: 'policy-id', kind: 'list', placeholder: 'id', about: 'Policy to grant, by its ID or the start of it.' },
  { name: 'policy-name', kind: 'list', placeholder: 'name', about: 'Policy to grant, by its name.' },
  {
    name: 'service-identity',
    kind: 'list',
    placeholder: 'service[:dc,…]',
    about: 'Service to act for, in these datacenters or in all.',
  },
  { name: 'node-identity', kind: 'list', placeholder: 'node:dc', about: 'Node to act for.' },
];

export const ROLE_FLAGS: readonly FlagSpec[] = [
  { name: 'role-id', kind: 'list', placeholder: 'id', about: 'Role to grant, by its ID or the start of it.' },
  { name: 'role-name', kind: 'list', placeholder: 'name', about: 'Role to grant, by its name.' },
];

/** As in Consul: also what only servers use. */
export const META: FlagSpec = { name: 'meta', kind: 'bool', about: 'Show the hash and the indexes as well.' };

type Links = readonly { readonly ID?: string; readonly Name?: string }[];

export interface GivenGrants {
  readonly Policies: Links;
  readonly Roles: Links;
  readonly ServiceIdentities: readonly ServiceIdentity[];
  readonly NodeIdentities: readonly NodeIdentity[];
}

export async function grantsOf(flags: Flags, acl: AclApi): Promise<GivenGrants> {
  const ids = async (name: string, all: () => Promise<readonly { readonly ID: string }[]>): Promise<Links> =>
    Promise.all(flags.list(name).map(async (id) => ({ ID: await wholeId(id, all, (one) => one.ID) })));
  return {
    Policies: [...(await ids('policy-id', () => acl.policies.list())), ...names(flags, 'policy-name')],
    Roles: [...(await ids('role-id', () => acl.roles.list())), ...names(flags, 'role-name')],
    ServiceIdentities: flags.list('service-identity').map((text) => {
      const [ServiceName = '', datacenters = ''] = split(text, ':');
      return datacenters === '' ? { ServiceName } : { ServiceName, Datacenters: datacenters.split(',') };
    }),
    NodeIdentities: flags.list('node-identity').map((text) => {
      const [NodeName = '', Datacenter = ''] = split(text, ':');
      if (Datacenter === '') throw new UsageError(`Malformed -node-identity argument: ${JSON.stringify(text)}`);
      return { NodeName, Datacenter };
    }),
  };
}

/** Adds to what is granted already; what is there twice counts once. */
export function merged<T extends object>(before: readonly T[] | undefined, given: readonly T[]): readonly T[] {
  const known = new Map((before ?? []).map((item) => [identityOf(item), item]));
  for (const item of given) known.set(identityOf(item), item);
  return [...known.values()];
}

function identityOf(item: object): string {
  const { ID, Name, ServiceName, NodeName } = item as Readonly<Record<string, string | undefined>>;
  return ID ?? Name ?? ServiceName ?? NodeName ?? '';
}

/** The one ID that starts so. A whole ID is taken as it is. */
export async function wholeId<T>(
  start: string,
  all: () => Promise<readonly T[]>,
  idOf: (item: T) => string,
): Promise<string> {
  if (start.length === 36) return start;
  const found = (await all()).map(idOf).filter((id) => id.startsWith(start));
  if (found.length > 1) throw new UsageError(`Error: more than one ID starts with ${JSON.stringify(start)}`);
  const [id] = found;
  if (id === undefined) throw new UsageError(`Error: no ID starts with ${JSON.stringify(start)}`);
  return id;
}

/** Rules as given: the text itself, `@file` or `-` for standard input. */
export async function rulesOf({ flags, io }: CommandContext): Promise<string> {
  const text = flags.text('rules');
  if (text === '-') return io.readStdin();
  return text.startsWith('@') ? io.readFile(text.slice(1)) : text;
}

interface Stored {
  readonly Hash: string;
  readonly CreateIndex: number;
  readonly ModifyIndex: number;
}

function metaRows({ Hash, CreateIndex, ModifyIndex }: Stored): string[][] {
  return [
    ['Hash:', Buffer.from(Hash, 'base64').toString('hex')],
    ['Create Index:', String(CreateIndex)],
    ['Modify Index:', String(ModifyIndex)],
  ];
}

export function tokenText(token: AclToken | AclTokenListed, meta: boolean): string {
  const rows = [['AccessorID:', token.AccessorID]];
  if ('SecretID' in token) rows.push(['SecretID:', token.SecretID]);
  rows.push(['Description:', token.Description], ['Local:', String(token.Local)], ['Create Time:', token.CreateTime]);
  if (token.ExpirationTime !== undefined) rows.push(['Expiration Time:', token.ExpirationTime]);
  if (meta) rows.push(...metaRows(token));
  return [...rows.map(([label = '', value]) => label.padEnd(18) + value), ...grantLines(token)].join('\n');
}

export function policyText(policy: AclPolicy, meta: boolean): string {
  const rows = [
    ['ID:', policy.ID],
    ['Name:', policy.Name],
    ['Description:', policy.Description],
    ['Datacenters:', (policy.Datacenters ?? []).join(', ')],
    ...(meta ? metaRows(policy) : []),
  ];
  return [columns(rows), 'Rules:', policy.Rules].join('\n');
}

export function roleText(role: AclRole, meta: boolean): string {
  const rows = [
    ['ID:', role.ID],
    ['Name:', role.Name],
    ['Description:', role.Description],
    ...(meta ? metaRows(role) : []),
  ];
  return [columns(rows), ...grantLines(role)].join('\n');
}

export function grantLines(grants: AclGrants): readonly string[] {
  const block = (title: string, lines: readonly string[]): readonly string[] =>
    lines.length === 0 ? [] : [title, ...lines.map((line) => `   ${line}`)];
  const links = (of: Links | undefined): readonly string[] => (of ?? []).map(({ ID, Name }) => `${ID} - ${Name}`);
  return [
    ...block('Policies:', links(grants.Policies)),
    ...block('Roles:', links(grants.Roles)),
    ...block(
      'Service Identities:',
      (grants.ServiceIdentities ?? []).map(
        ({ ServiceName, Datacenters }) => `${ServiceName} (Datacenters: ${Datacenters?.join(', ') ?? 'all'})`,
      ),
    ),
    ...block(
      'Node Identities:',
      (grants.NodeIdentities ?? []).map(({ NodeName, Datacenter }) => `${NodeName} (Datacenter: ${Datacenter})`),
    ),
  ];
}

/** Prints one object, in the form that was asked for. */
export function show<T>(context: CommandContext, value: T, text: (value: T, meta: boolean) => string): void {
  const { json, print, printJson, flags } = context;
  if (json) printJson(value);
  else print(text(value, flags.bool('meta')));
}

function names(flags: Flags, name: string): Links {
  return flags.list(name).map((Name) => ({ Name }));
}

function split(text: string, at: string): readonly string[] {
  const position = text.lastIndexOf(at);
  return position < 0 ? [text] : [text.slice(0, position), text.slice(position + 1)];
}
