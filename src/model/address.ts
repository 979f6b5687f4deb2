import type { ServiceAddress } from './catalog.ts';

/** Where an address came from; the most particular one goes first. */
export type AddressSource = 'service wan' | 'service' | 'node wan' | 'node';

export interface ReachedAt {
  readonly address: string;
  readonly port: number;
  readonly source: AddressSource;
}

export interface NodeAddresses {
  readonly Address: string;
  readonly TaggedAddresses: Readonly<Record<string, string>> | null;
}

export interface ServiceAddresses {
  readonly Address: string;
  readonly Port: number;
  readonly TaggedAddresses?: Readonly<Record<string, ServiceAddress>>;
}

/** What listens, and what is dialled on its own machine, where no address is given. */
export interface DefaultAddresses {
  /** Every address of the machine. */
  readonly any: string;
  readonly loopback: string;
}

/** In the family that the node advertises: others come by it. On most systems `::` takes IPv4 as well. */
export function defaultAddresses(nodeAddress: string): DefaultAddresses {
  return nodeAddress.includes(':') ? { any: '::', loopback: '::1' } : { any: '0.0.0.0', loopback: '127.0.0.1' };
}

/** For those who need an address of one kind: what is tagged so goes before what is not. */
export type Family = 'ipv4' | 'ipv6';

/** Where a node is reached; `wan` from another datacenter. */
export function nodeAddress(node: NodeAddresses, wan: boolean, family?: Family): string {
  const { Address, TaggedAddresses: tags } = node;
  const tag = tagsFor(wan, family).find((each) => tags?.[each] && !(each.startsWith('wan_') && tags[each] === Address));
  return (tag === undefined ? undefined : tags?.[tag]) ?? Address;
}

export interface ServiceAt {
  /** '' when it has none but its node's. */
  readonly address: string;
  readonly port: number;
  readonly wan: boolean;
}

/** A service's own address and the port that goes with it. */
export function serviceAt(service: ServiceAddresses, wan: boolean, family?: Family): ServiceAt {
  const { Address, Port, TaggedAddresses: tags } = service;
  for (const tag of tagsFor(wan, family)) {
    const tagged = tags?.[tag];
    if (tagged === undefined || tagged.Address === '') continue;
    if (tag.startsWith('wan_') && tagged.Address === Address && tagged.Port === Port) continue;
    return { address: tagged.Address, port: tagged.Port || Port, wan: tag.startsWith('wan') };
  }
  return { address: Address, port: Port, wan: false };
}

/**
 * The tags that count, in order. Agents put the own address under `wan_ipv4` (or `wan_ipv6`) where none was given:
 * that is no WAN address, and passed over.
 */
function tagsFor(wan: boolean, family: Family | undefined): readonly string[] {
  if (family !== undefined) return wan ? [`wan_${family}`, 'wan', `lan_${family}`] : [`lan_${family}`];
  return wan ? ['wan', 'wan_ipv4', 'wan_ipv6'] : [];
}

/**
 * Where an instance is reached: the service's own address goes before its node's, for each of LAN and WAN. This is the
 * one place that decides it, for every answer and for every sidecar.
 */
export function reachedAt(node: NodeAddresses, service: ServiceAddresses, wan: boolean): ReachedAt {
  const own = serviceAt(service, wan);
  const { port } = own;
  if (own.address !== '') return { address: own.address, port, source: own.wan ? 'service wan' : 'service' };
  const address = nodeAddress(node, wan);
  return { address, port, source: address === node.Address ? 'node' : 'node wan' };
}
