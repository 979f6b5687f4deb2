import type { ServiceInstance } from '../../model/catalog.ts';
import { addressRecord, nodeName } from './records.ts';
import { type DnsRecord, RCODE, type Reply } from './types.ts';

export interface ZoneOptions {
  readonly datacenter: string;
  readonly nodeTtlMs: number;
  readonly soa: {
    readonly refresh: number;
    readonly retry: number;
    readonly expire: number;
    readonly minTtl: number;
  };
}

/** Servers named at most in answers about the domain. */
const MAX_SERVERS = 3;
/** What a name server may be called. */
const HOST_LABEL = /^[A-Za-z0-9-]{1,63}$/;

export function soaRecord(domain: string, { soa }: ZoneOptions, now: number): DnsRecord {
  const { refresh, retry, expire, minTtl } = soa;
  return {
    name: domain,
    ttl: minTtl,
    data: {
      type: 'SOA',
      server: `ns.${domain}`,
      mailbox: `hostmaster.${domain}`,
      serial: Math.floor(now / 1_000),
      refresh,
      retry,
      expire,
      minimum: minTtl,
    },
  };
}

/** What is said to SOA and NS questions, whatever name below the domain they are about. */
export function zoneReply(
  type: 'SOA' | 'NS',
  domain: string,
  servers: readonly ServiceInstance[],
  options: ZoneOptions,
  now: number,
): Reply {
  const { datacenter } = options;
  const ttl = Math.floor(options.nodeTtlMs / 1_000);
  const named = servers.filter(({ Node }) => HOST_LABEL.test(Node.Node)).slice(0, MAX_SERVERS);
  const nameOf = (node: string): string => nodeName(node, { datacenter, domain }).toLowerCase();
  const names = named.map(
    ({ Node }): DnsRecord => ({ name: domain, ttl, data: { type: 'NS', target: nameOf(Node.Node) } }),
  );
  const additionals = named.flatMap(({ Node }) => addressRecord(Node.Address, ttl, 'ANY', nameOf(Node.Node)));
  const reply = { rcode: RCODE.noError, authoritative: true, additionals };
  if (type === 'NS') return { ...reply, answers: names };
  return { ...reply, answers: [soaRecord(domain, options, now)], authorities: names };
}
