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

/** For those who need an address of one kind: what is tagged so goes before what is not. */
export type Family = 'ipv4' | 'ipv6';

/** Where a node is reached; `wan` from another datacenter. */
export function nodeAddress(node: NodeAddresses, wan: boolean, family?: Family): string {
  const tags = node.TaggedAddresses;
  if (tags === null) return node.Address;
  return (
    (wan ? (family && tags[`wan_${family}`]) || tags.wan : undefined) ||
    (family && tags[`lan_${family}`]) ||
    node.Address
  );
}

/** A service's own address, '' when it has none but its node's. */
export function serviceAddress(service: Omit<ServiceAddresses, 'Port'>, wan: boolean, family?: Family): string {
  const tags = service.TaggedAddresses;
  if (tags === undefined) return service.Address;
  return (
    (wan ? (family && tags[`wan_${family}`]?.Address) || tags.wan?.Address : undefined) ||
    (family && tags[`lan_${family}`]?.Address) ||
    service.Address
  );
}

export function servicePort(service: Omit<ServiceAddresses, 'Address'>, wan: boolean): number {
  return (wan ? service.TaggedAddresses?.wan?.Port : undefined) || service.Port;
}

/**
 * Where an instance is reached: the service's own address goes before its node's, for each of LAN and WAN. This is the
 * one place that decides it, for every answer and for every sidecar.
 */
export function reachedAt(node: NodeAddresses, service: ServiceAddresses, wan: boolean): ReachedAt {
  const own = serviceAddress(service, wan);
  const port = servicePort(service, wan);
  if (own !== '') return { address: own, port, source: own === service.Address ? 'service' : 'service wan' };
  const address = nodeAddress(node, wan);
  return { address, port, source: address === node.Address ? 'node' : 'node wan' };
}
