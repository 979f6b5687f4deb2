import { tryParseDuration } from '../../lib/duration.ts';
import type { QueryInstance } from '../../model/prepared-query.ts';
import type { ServerContract } from '../../rpc/contract/contract.ts';
import type { KnownAnswers } from './known-answers.ts';
import { type Lookup, parseName } from './names.ts';
import {
  addressRecord,
  instanceRecords,
  metaRecords,
  nodeName,
  nodeRecords,
  type RecordContext,
  wantsAddress,
} from './records.ts';
import { type DnsRecord, type Question, RCODE, type Reply } from './types.ts';

export interface ResolverOptions {
  /** Without dots at the ends; the second one may be ''. */
  readonly domain: string;
  readonly altDomain: string;
  readonly datacenter: string;
  /** The agent's own node. */
  readonly node: string;
  readonly translateWanAddrs: boolean;
  readonly onlyPassing: boolean;
  readonly nodeMetaTxt: boolean;
  readonly nodeTtlMs: number;
  /** By service name; `*` at the end stands for any rest. */
  readonly serviceTtlMs: Readonly<Record<string, number>>;
  /** Most address records in an answer; 0 is without limit. */
  readonly aRecordLimit: number;
  readonly soa: {
    readonly refresh: number;
    readonly retry: number;
    readonly expire: number;
    readonly minTtl: number;
  };
}

export interface ResolverDeps {
  readonly known: Pick<KnownAnswers, 'ask'>;
  readonly contract: Pick<ServerContract, 'read'>;
  readonly token: () => string;
  /** Milliseconds since the Unix epoch. */
  readonly now: () => number;
  /** Chance in [0, 1). */
  readonly random: () => number;
}

/** Servers named at most in answers about the domain. */
const MAX_SERVERS = 3;

const NOTHING: Reply = { rcode: RCODE.noError, authoritative: true, answers: [] };
const FAILURE: Reply = { rcode: RCODE.serverFailure, authoritative: false, answers: [] };

/** Answers questions about our domains out of what is known of the catalog. */
export class Resolver {
  readonly #deps: ResolverDeps;
  readonly #options: ResolverOptions;
  readonly #domains: readonly string[];

  constructor(deps: ResolverDeps, options: ResolverOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#domains = [options.domain, options.altDomain].map((domain) => domain.toLowerCase());
  }

  /** Undefined for a question about what is not ours. */
  async resolve(question: Question, signal: AbortSignal): Promise<Reply | undefined> {
    const parsed = parseName(question.name, this.#domains);
    if (parsed === undefined) return undefined;
    const { lookup } = parsed;
    const domain = parsed.domain === '' ? (this.#domains[0] as string) : parsed.domain;
    const datacenter =
      'datacenter' in lookup && lookup.datacenter !== '' ? lookup.datacenter : this.#options.datacenter;
    if (!(await this.#knows(datacenter, signal))) return this.#nothing(domain, RCODE.nxDomain);
    const reply = await this.#answer(lookup, question, domain, datacenter, signal);
    if (reply === undefined) return lookup.kind === 'reverse' ? undefined : this.#nothing(domain, RCODE.nxDomain);
    if (reply.rcode === RCODE.noError && reply.answers.length === 0)
      return { ...reply, authorities: [this.#soa(domain)] };
    return reply;
  }

  /** Undefined when there is no such thing. */
  #answer(
    lookup: Lookup,
    question: Question,
    domain: string,
    datacenter: string,
    signal: AbortSignal,
  ): Promise<Reply | undefined> | Reply | undefined {
    switch (lookup.kind) {
      case 'service':
      case 'connect':
        return this.#service(lookup, question, domain, datacenter);
      case 'query':
        return this.#query(lookup.name, question, domain, datacenter);
      case 'node':
        return this.#node(lookup.name, question, domain, datacenter);
      case 'addr':
        return { ...NOTHING, answers: this.#address(lookup.address, question) };
      case 'apex':
        return this.#apex(question, domain);
      case 'reverse':
        return this.#reverse(lookup.address, question, domain, signal);
      default:
        return undefined;
    }
  }

  async #service(
    lookup: Extract<Lookup, { readonly tag: string }>,
    question: Question,
    domain: string,
    datacenter: string,
  ): Promise<Reply | undefined> {
    const { value, problem } = await this.#deps.known.ask(
      'health.service',
      {
        service: lookup.name,
        ...(lookup.tag === '' ? {} : { tags: [lookup.tag] }),
        ...(lookup.kind === 'connect' ? { connect: true } : {}),
      },
      this.#followOptions(datacenter),
    );
    if (value === undefined)
      return problem === undefined || datacenter !== this.#options.datacenter ? FAILURE : undefined;
    const { onlyPassing } = this.#options;
    const healthy = value.filter(({ Checks }) =>
      Checks.every(({ Status }) => (onlyPassing ? Status === 'passing' : Status !== 'critical')),
    );
    return this.#instances(healthy, question, { domain, datacenter, ttl: this.#serviceTtl(lookup.name) });
  }

  async #query(name: string, question: Question, domain: string, datacenter: string): Promise<Reply | undefined> {
    const { value, problem } = await this.#deps.known.ask(
      'queries.execute',
      { query: name, agent: { node: this.#options.node, segment: '' } },
      this.#followOptions(datacenter),
    );
    if (problem === 'Query not found') return undefined; // it may have been known before
    if (value === undefined) return FAILURE;
    const ttl = value.DNS.TTL === '' ? this.#serviceTtl(value.Service) : seconds(tryParseDuration(value.DNS.TTL) ?? 0);
    return this.#instances(value.Nodes, question, { domain, datacenter: value.Datacenter, ttl });
  }

  #instances(
    instances: readonly QueryInstance[],
    question: Question,
    where: Pick<RecordContext, 'domain' | 'datacenter' | 'ttl'>,
  ): Reply | undefined {
    if (instances.length === 0) return undefined;
    const records = instanceRecords(this.#shuffled(instances), this.#context(question, where));
    const { aRecordLimit } = this.#options;
    const limit = aRecordLimit > 0 && wantsAddress(question.type) ? aRecordLimit : records.length;
    return { ...NOTHING, answers: records.slice(0, limit) };
  }

  async #node(name: string, question: Question, domain: string, datacenter: string): Promise<Reply | undefined> {
    const { value } = await this.#deps.known.ask('catalog.node', { node: name }, this.#followOptions(datacenter));
    if (value === undefined) return FAILURE;
    if (value === null) return undefined;
    const ttl = seconds(this.#options.nodeTtlMs);
    const meta = metaRecords(question.name, value.Node, ttl);
    const addresses = nodeRecords(value.Node, this.#context(question, { domain, datacenter, ttl }));
    if (question.type === 'TXT' || question.type === 'ANY') return { ...NOTHING, answers: [...addresses, ...meta] };
    return { ...NOTHING, answers: addresses, additionals: this.#options.nodeMetaTxt ? meta : [] };
  }

  #address(address: string, question: Question): readonly DnsRecord[] {
    if (!wantsAddress(question.type)) return [];
    return addressRecord(question.name, address, seconds(this.#options.nodeTtlMs), question.type);
  }

  async #apex(question: Question, domain: string): Promise<Reply> {
    const soa = this.#soa(domain);
    if (question.type !== 'SOA' && question.type !== 'NS' && question.type !== 'ANY') return NOTHING;
    const { servers, glue } = await this.#servers(domain);
    if (question.type === 'NS') return { ...NOTHING, answers: servers, additionals: glue };
    return { ...NOTHING, answers: [soa], authorities: servers, additionals: glue };
  }

  async #servers(domain: string): Promise<{ servers: readonly DnsRecord[]; glue: readonly DnsRecord[] }> {
    const { datacenter, nodeTtlMs } = this.#options;
    const { value = [] } = await this.#deps.known.ask(
      'health.service',
      { service: 'consul' },
      this.#followOptions(datacenter),
    );
    const ttl = seconds(nodeTtlMs);
    const nodes = this.#shuffled(value).slice(0, MAX_SERVERS);
    const name = (node: string): string => nodeName(node, { datacenter, domain });
    return {
      servers: nodes.map(({ Node }) => ({ name: domain, ttl, data: { type: 'NS', target: name(Node.Node) } })),
      glue: nodes.flatMap(({ Node }) => addressRecord(name(Node.Node), Node.Address, ttl, 'ANY')),
    };
  }

  async #reverse(address: string, question: Question, domain: string, signal: AbortSignal): Promise<Reply | undefined> {
    const token = this.#deps.token();
    const { value } = await this.#deps.contract.read(
      'catalog.byAddress',
      { address },
      { signal, ...(token === '' ? {} : { token }) },
    );
    const { datacenter } = this.#options;
    const names = [
      ...value.Nodes.map((node) => nodeName(node, { datacenter, domain })),
      ...value.Services.map((service) => `${service}.service.${datacenter}.${domain}`),
    ];
    const [target] = names;
    if (target === undefined) return undefined;
    if (question.type !== 'PTR' && question.type !== 'ANY') return NOTHING;
    return { ...NOTHING, answers: [{ name: question.name, ttl: 0, data: { type: 'PTR', target } }] };
  }

  /** What does not exist is told with how long that may be remembered. */
  #nothing(domain: string, rcode: number): Reply {
    return { rcode, authoritative: true, answers: [], authorities: [this.#soa(domain)] };
  }

  #soa(domain: string): DnsRecord {
    const { refresh, retry, expire, minTtl } = this.#options.soa;
    return {
      name: domain,
      ttl: minTtl,
      data: {
        type: 'SOA',
        server: `ns.${domain}`,
        mailbox: `hostmaster.${domain}`,
        serial: Math.floor(this.#deps.now() / 1_000),
        refresh,
        retry,
        expire,
        minimum: minTtl,
      },
    };
  }

  async #knows(datacenter: string, signal: AbortSignal): Promise<boolean> {
    if (datacenter === this.#options.datacenter) return true;
    const { value } = await this.#deps.contract.read('catalog.datacenters', {}, { signal });
    return value.includes(datacenter);
  }

  #followOptions(datacenter: string): { readonly datacenter?: string; readonly token?: string } {
    const token = this.#deps.token();
    return {
      ...(datacenter === this.#options.datacenter ? {} : { datacenter }),
      ...(token === '' ? {} : { token }),
    };
  }

  #context(question: Question, where: Pick<RecordContext, 'domain' | 'datacenter' | 'ttl'>): RecordContext {
    const { translateWanAddrs, datacenter, nodeMetaTxt } = this.#options;
    return { ...where, question, wan: translateWanAddrs && where.datacenter !== datacenter, metaTxt: nodeMetaTxt };
  }

  #serviceTtl(service: string): number {
    const ttls = this.#options.serviceTtlMs;
    const exact = ttls[service];
    if (exact !== undefined) return seconds(exact);
    let best = '';
    for (const pattern of Object.keys(ttls)) {
      if (pattern.endsWith('*') && service.startsWith(pattern.slice(0, -1)) && pattern.length > best.length)
        best = pattern;
    }
    return best === '' ? 0 : seconds(ttls[best] ?? 0);
  }

  #shuffled<T>(items: readonly T[]): readonly T[] {
    const shuffled = [...items];
    for (let at = shuffled.length - 1; at > 0; at -= 1) {
      const other = Math.floor(this.#deps.random() * (at + 1));
      [shuffled[at], shuffled[other]] = [shuffled[other] as T, shuffled[at] as T];
    }
    return shuffled;
  }
}

function seconds(ms: number): number {
  return Math.max(0, Math.floor(ms / 1_000));
}
