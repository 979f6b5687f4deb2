import { isIP } from 'node:net';
import { tryDatacenter, tryName } from '../model/names.ts';
import type { Hello, KnownServer } from '../rpc/transport/handlers.ts';
import { formatAddress, isDialable, isWanAddress } from './address.ts';
import type { LinkRefusal } from './link-state.ts';

/** Other servers that one Hello may name: the rest is passed over. */
const MAX_SERVERS = 64;
/** Of IDs, epochs, builds and trust domains. */
const MAX_TEXT = 255;
/** Hellos and all messages of a link between two heartbeats; a server says what changed, once. */
export const MAX_HELLOS = 32;
export const MAX_MESSAGES = 256;

/** A server that somebody names, as it may be dialled. */
export interface NamedServer {
  readonly datacenter: string;
  readonly nodeId: string;
  readonly address: string;
}

/** What is wrong with a Hello, whoever says it. @param before what the same link said first */
export function helloFault(hello: Hello, before: Hello | undefined): LinkRefusal | undefined {
  const { datacenter, primaryDatacenter, node, nodeId, trustDomain, epoch, build } = hello;
  const fault = (reason: string): LinkRefusal => ({ code: 'name', reason });
  if (tryDatacenter(datacenter) !== datacenter || tryDatacenter(primaryDatacenter) !== primaryDatacenter)
    return fault('the other side gives a datacenter a name that is none: 1 to 63 of a-z, 0-9, - and _');
  if (tryName(node) === undefined || !isText(nodeId) || nodeId === '')
    return fault(`a server of datacenter "${datacenter}" has no usable node name or node ID`);
  if (![trustDomain, epoch, build].every(isText))
    return fault(`a server of datacenter "${datacenter}" says what is no trust domain, epoch or build`);
  if (before !== undefined && (before.datacenter !== datacenter || before.node !== node || before.nodeId !== nodeId))
    return fault(`node "${before.node}" of datacenter "${before.datacenter}" became another one on the same link`);
  return undefined;
}

/** Where the server that says it can be dialled itself; undefined for what is no address. */
export function ownAddress(hello: Hello): NamedServer | undefined {
  return named(hello);
}

/** The others that it names, which proves nothing; no more of them than a mesh has servers. */
export function othersNamed({ servers }: Hello): readonly NamedServer[] {
  return servers.slice(0, MAX_SERVERS).flatMap((server) => named(server) ?? []);
}

function named({
  datacenter,
  nodeId,
  wan,
}: Pick<KnownServer, 'datacenter' | 'nodeId' | 'wan'>): NamedServer | undefined {
  if (wan === undefined || tryDatacenter(datacenter) !== datacenter || !isText(nodeId)) return undefined;
  const where = { address: wan.host, port: wan.port };
  if (!isDialable(where) || wan.host.length > MAX_TEXT) return undefined;
  if (isIP(wan.host) === 0 && !/^[A-Za-z0-9._-]+$/.test(wan.host)) return undefined;
  const address = formatAddress(where);
  return isWanAddress(address) ? { datacenter, nodeId, address } : undefined;
}

function isText(text: string): boolean {
  return text.length <= MAX_TEXT && /^[\x20-\x7e]*$/.test(text);
}
