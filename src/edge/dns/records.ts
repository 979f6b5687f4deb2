import { isIP, isIPv4 } from 'node:net';
import { nodeAddress, serviceAddress, servicePort } from '../../model/address.ts';
import type { CatalogNode, NodeService } from '../../model/catalog.ts';
import type { QueryInstance } from '../../model/prepared-query.ts';
import { addressBytes } from './encode.ts';
import type { DnsRecord, Question } from './types.ts';

/** How records are written for one question. */
export interface RecordContext {
  readonly question: Question;
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

export function wantsAddress(type: string): boolean {
  return type === 'A' || type === 'AAAA' || type === 'ANY';
}

/** An address record when the question's type wants the address's family. */
export function addressRecord(name: string, address: string, ttl: number, type: string): readonly DnsRecord[] {
  const family = isIPv4(address) ? 'A' : 'AAAA';
  return type === 'ANY' || type === 'SRV' || type === family ? [{ name, ttl, data: { type: family, address } }] : [];
}

export function nodeName(node: string, context: Pick<RecordContext, 'datacenter' | 'domain'>): string {
  return `${node}.node.${context.datacenter}.${context.domain}`;
}

/** The node's own address, or its name when the address is one. */
export function nodeRecords(node: CatalogNode, context: RecordContext): readonly DnsRecord[] {
  const { question, ttl } = context;
  const address = nodeAddress(node, context.wan);
  if (!wantsAddress(question.type) && question.type !== 'CNAME') return [];
  if (isIP(address) !== 0) return addressRecord(question.name, address, ttl, question.type);
  return [{ name: question.name, ttl, data: { type: 'CNAME', target: withoutDot(address) } }];
}

/** One TXT record for each pair of the node's metadata. */
export function metaRecords(name: string, node: CatalogNode, ttl: number): readonly DnsRecord[] {
  return Object.entries(node.Meta ?? {}).map(([key, value]) => ({
    name,
    ttl,
    data: { type: 'TXT', text: key.toLowerCase().startsWith('rfc1035-') ? value : `${rfc1464(key)}=${value}` },
  }));
}

/** RFC 1464: what would end the key is quoted. */
function rfc1464(key: string): string {
  return key.replace(/[`=]/g, '`$&').replace(/^\s+|\s+$/g, (space) => [...space].map((char) => `\`${char}`).join(''));
}

/** Records of instances in the order given, each address (or address and port) once. */
export function instanceRecords(instances: readonly QueryInstance[], context: RecordContext): readonly DnsRecord[] {
  const { question, ttl } = context;
  const records: DnsRecord[] = [];
  const seen = new Set<string>();
  for (const instance of instances) {
    const target = targetOf(instance, context);
    const key = question.type === 'SRV' ? `${target.key}:${target.port}` : target.key;
    if (seen.has(key)) continue;
    seen.add(key);
    if (question.type === 'SRV') records.push(srvRecord(instance, target, context));
    else if (!wantsAddress(question.type)) continue;
    else if (target.address !== '') records.push(...addressRecord(question.name, target.address, ttl, question.type));
    else records.push({ name: question.name, ttl, data: { type: 'CNAME', target: target.name } });
  }
  return records;
}

interface Target {
  /** What makes it another one. */
  readonly key: string;
  /** '' when only a name is known. */
  readonly address: string;
  readonly name: string;
  readonly port: number;
}

function targetOf({ Node, Service }: QueryInstance, context: RecordContext): Target {
  const { datacenter, domain, wan } = context;
  const port = servicePort(Service, wan);
  const own = serviceAddress(Service, wan);
  const ofNode = nodeAddress(Node, wan);
  // A service whose address is the very name that was asked for would lead back to itself.
  const address = own === '' || withoutDot(own).toLowerCase() === context.question.name.toLowerCase() ? ofNode : own;
  if (isIP(address) === 0) return { key: address, address: '', name: withoutDot(address), port };
  const byNode = own === '' && address === Node.Address;
  const name = byNode
    ? nodeName(Node.Node, context)
    : `${addressBytes(address).toString('hex')}.addr.${datacenter}.${domain}`;
  return { key: address, address, name, port };
}

function srvRecord(instance: QueryInstance, target: Target, context: RecordContext): DnsRecord {
  const { question, ttl } = context;
  const { Node, Service } = instance;
  return {
    name: question.name,
    ttl,
    data: { type: 'SRV', priority: 1, weight: weightOf(instance, Service), port: target.port, target: target.name },
    extra: [
      ...(target.address === '' ? [] : addressRecord(target.name, target.address, ttl, 'SRV')),
      ...(context.metaTxt ? metaRecords(nodeName(Node.Node, context), Node, ttl) : []),
    ],
  };
}

function weightOf({ Checks }: QueryInstance, { Weights }: NodeService): number {
  const warning = Checks?.some(({ Status }) => Status === 'warning') === true;
  return warning ? Weights.Warning : Weights.Passing;
}

export function withoutDot(name: string): string {
  return name.endsWith('.') ? name.slice(0, -1) : name;
}
