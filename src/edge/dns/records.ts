import { isIP, isIPv4 } from 'node:net';
import { addressBytes } from '../../lib/address.ts';
import { type Family, nodeAddress, serviceAt } from '../../model/address.ts';
import type { CatalogNode } from '../../model/catalog.ts';
import type { QueryInstance } from '../../model/prepared-query.ts';
import { isEncodable } from './encode.ts';
import type { DnsRecord } from './types.ts';

/** How records are written for one question. */
export interface RecordContext {
  /** The name that is asked for, in lower case, and the type. */
  readonly name: string;
  readonly type: string;
  /** Domain below which names are written: the one asked. */
  readonly domain: string;
  /** Datacenter that the nodes are in. */
  readonly datacenter: string;
  /** Addresses for other datacenters are wanted. */
  readonly wan: boolean;
  /** Seconds. */
  readonly ttl: number;
  readonly metaTxt: boolean;
}

function wantsAddress(type: string): boolean {
  return type === 'A' || type === 'AAAA' || type === 'ANY';
}

/** An address record of the name asked, or of another one, when the question's type wants the address's family. */
export function addressRecord(address: string, ttl: number, type: string, name?: string): readonly DnsRecord[] {
  const family = isIPv4(address) ? 'A' : 'AAAA';
  if (type !== 'ANY' && type !== 'SRV' && type !== family) return [];
  return [{ ...(name === undefined ? {} : { name }), ttl, data: { type: family, address } }];
}

export function nodeName(node: string, context: Pick<RecordContext, 'datacenter' | 'domain'>): string {
  return `${node}.node.${context.datacenter}.${context.domain}`;
}

/** The node's own address, or its name when the address is one. */
export function nodeRecords(node: CatalogNode, context: RecordContext): readonly DnsRecord[] {
  const { type, ttl } = context;
  if (!wantsAddress(type) && type !== 'CNAME') return [];
  const address = nodeAddress(node, context.wan, familyOf(type));
  if (isIP(address) !== 0) return addressRecord(address, ttl, type);
  return aliasRecord(address, ttl);
}

/** One TXT record for each pair of the node's metadata. */
export function metaRecords(node: CatalogNode, ttl: number, name?: string): readonly DnsRecord[] {
  return Object.entries(node.Meta ?? {}).map(([key, value]) => ({
    ...(name === undefined ? {} : { name }),
    ttl,
    data: { type: 'TXT', text: key.toLowerCase().startsWith('rfc1035-') ? value : `${rfc1464(key)}=${value}` },
  }));
}

/** RFC 1464: what would end the key is quoted. */
function rfc1464(key: string): string {
  return key.replace(/[`=]/g, '`$&').replace(/^\s+|\s+$/g, (space) => [...space].map((char) => `\`${char}`).join(''));
}

/**
 * Records of instances in the order given, each address (or name and port) once. Names in place of addresses are left
 * out where there are addresses too: beside an alias DNS allows nothing else. Of several, the first one is taken. A
 * question for CNAME gets the name alone.
 */
export function instanceRecords(instances: readonly QueryInstance[], context: RecordContext): readonly DnsRecord[] {
  const { type, ttl } = context;
  if (type !== 'SRV' && type !== 'CNAME' && !wantsAddress(type)) return [];
  const records: DnsRecord[] = [];
  let alias: readonly DnsRecord[] = [];
  let addresses = false;
  const seen = new Set<string>();
  for (const instance of instances) {
    const target = targetOf(instance, context);
    const key = type === 'SRV' ? `${target.name}:${target.port}` : target.address || target.name;
    if (seen.has(key)) continue;
    seen.add(key);
    if (type === 'SRV') records.push(...srvRecord(instance, target, context));
    else if (target.address !== '') {
      addresses = true;
      records.push(...addressRecord(target.address, ttl, type));
    } else if (alias.length === 0) alias = aliasRecord(target.name, ttl);
  }
  return records.length > 0 || (type === 'CNAME' && addresses) ? records : alias;
}

interface Target {
  /** '' when only a name is known. */
  readonly address: string;
  readonly name: string;
  readonly port: number;
}

function targetOf({ Node, Service }: QueryInstance, context: RecordContext): Target {
  const { datacenter, domain, wan, type } = context;
  const family = familyOf(type);
  const { address: own, port } = serviceAt(Service, wan, family);
  // A service whose address is the very name that was asked for would lead back to itself.
  const address = own === '' || withoutDot(own).toLowerCase() === context.name ? nodeAddress(Node, wan, family) : own;
  if (isIP(address) === 0) return { address: '', name: withoutDot(address), port };
  if (type !== 'SRV') return { address, name: '', port };
  const byNode = address !== own && address === Node.Address && isEncodable(Node.Node);
  const name = byNode
    ? nodeName(Node.Node, context)
    : `${addressBytes(address).toString('hex')}.addr.${datacenter}.${domain}`;
  return { address, name, port };
}

function srvRecord(instance: QueryInstance, target: Target, context: RecordContext): readonly DnsRecord[] {
  const { ttl } = context;
  const { Node } = instance;
  if (!isEncodable(target.name)) return [];
  const ofNode = nodeName(Node.Node, context);
  return [
    {
      ttl,
      data: { type: 'SRV', priority: 1, weight: weightOf(instance), port: target.port, target: target.name },
      extra: [
        ...(target.address === '' ? [] : addressRecord(target.address, ttl, 'SRV', target.name)),
        ...(context.metaTxt && isEncodable(ofNode) ? metaRecords(Node, ttl, ofNode) : []),
      ],
    },
  ];
}

function aliasRecord(name: string, ttl: number): readonly DnsRecord[] {
  const target = withoutDot(name);
  return target !== '' && isEncodable(target) ? [{ ttl, data: { type: 'CNAME', target } }] : [];
}

function weightOf({ Checks, Service }: QueryInstance): number {
  const warning = Checks?.some(({ Status }) => Status === 'warning') === true;
  return warning ? Service.Weights.Warning : Service.Weights.Passing;
}

function familyOf(type: string): Family | undefined {
  return type === 'A' ? 'ipv4' : type === 'AAAA' ? 'ipv6' : undefined;
}

function withoutDot(name: string): string {
  return name.endsWith('.') ? name.slice(0, -1) : name;
}
