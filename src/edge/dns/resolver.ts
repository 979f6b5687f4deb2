import { tryParseDuration } from '../../lib/duration.ts';
import type { QueryInstance } from '../../model/prepared-query.ts';
import type { ServerContract } from '../../rpc/contract/contract.ts';
import type { ReadArgs, ReadName, ReadValue } from '../../rpc/contract/reads.ts';
import type { CacheEntry } from '../../rpc/subscribe/cache-entry.ts';
import type { FollowOptions } from '../../rpc/subscribe/watch-pool.ts';
import { Aliases, isAlias } from './aliases.ts';
import { AnswerSet, drawn } from './answer-set.ts';
import type { Answer, Answers } from './answers.ts';
import { type Lookup, parseName } from './names.ts';
import { addressRecord, instanceRecords, metaRecords, nodeName, nodeRecords, type RecordContext } from './records.ts';
import type { Recursors } from './recursors.ts';
import { serviceTtls } from './service-ttls.ts';
import { type DnsRecord, type Question, RCODE, type Reply } from './types.ts';
import { soaRecord, type ZoneOptions, zoneReply } from './zone.ts';

export interface ResolverOptions extends ZoneOptions {
  /** Without dots at the ends; the second one may be ''. */
  readonly domain: string;
  readonly altDomain: string;
  /** The agent's own node. */
  readonly node: string;
  readonly translateWanAddrs: boolean;
  readonly onlyPassing: boolean;
  readonly nodeMetaTxt: boolean;
  /** By service name; `*` at the end stands for any rest. */
  readonly serviceTtlMs: Readonly<Record<string, number>>;
  /** Most address records in an answer; 0 is without limit. */
  readonly aRecordLimit: number;
}

export interface ResolverDeps {
  readonly answers: Pick<Answers, 'ask' | 'fresh'>;
  readonly contract: Pick<ServerContract, 'read'>;
  readonly recursors: Recursors;
  readonly token: () => string;
  /** Milliseconds since the Unix epoch. */
  readonly now: () => number;
  /** Chance in [0, 1). */
  readonly random: () => number;
}

/** What is asked, taken apart. */
interface Asked {
  readonly question: Question;
  /** In lower case. */
  readonly name: string;
  readonly domain: string;
  readonly datacenter: string;
  /** How many names led here. */
  readonly depth: number;
  /** The answer is for this asker only. */
  readonly personal?: boolean;
  readonly signal: AbortSignal;
}

/** How one question is answered as long as what is known stays the same. */
type Plan = (limit: number) => Reply;

const NOTHING: Reply = { rcode: RCODE.noError, authoritative: true, answers: [] };
const FAILURE: Reply = { rcode: RCODE.serverFailure, authoritative: false, answers: [] };
const REFUSED_TRANSFER: Reply = { rcode: RCODE.notImplemented, authoritative: true, answers: [] };
/** Questions whose plan is found at once; the first one remembered goes first. */
const MAX_RECENT = 4_096;

/** Answers questions about our domains out of what is known of the catalog. */
export class Resolver {
  readonly #deps: ResolverDeps;
  readonly #options: ResolverOptions;
  /** The longest one first: it may lie within the other. */
  readonly #domains: readonly string[];
  readonly #serviceTtlMs: (service: string) => number;
  readonly #aliases: Aliases;
  readonly #recent = new Map<string, CacheEntry<unknown>>();
  #recentToken = '';

  constructor(deps: ResolverDeps, options: ResolverOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#domains = [options.domain, options.altDomain]
      .filter((domain) => domain !== '')
      .map((domain) => domain.toLowerCase())
      .sort((a, b) => b.length - a.length);
    this.#serviceTtlMs = serviceTtls(options.serviceTtlMs);
    this.#aliases = new Aliases({
      recursors: deps.recursors,
      resolve: (question, depth, signal) => this.#find(question, question.name.toLowerCase(), depth, signal),
    });
  }

  /** At once where everything is known. Undefined for a question about what is not ours. */
  resolve(question: Question, signal: AbortSignal): Reply | Promise<Reply | undefined> {
    const name = question.name.toLowerCase();
    const key = planKey(question.type, name);
    this.#forgetOthers();
    const entry = this.#recent.get(key);
    const plan = entry !== undefined && this.#deps.answers.fresh(entry) ? entry.derived<Plan>(key) : undefined;
    if (entry === undefined || plan === undefined) return this.#find(question, name, 0, signal);
    entry.use();
    return plan(question.limit);
  }

  /** What was seen with one token is not for another one. */
  #forgetOthers(): void {
    const token = this.#deps.token();
    if (token === this.#recentToken) return;
    this.#recentToken = token;
    this.#recent.clear();
  }

  async #find(question: Question, name: string, depth: number, signal: AbortSignal): Promise<Reply | undefined> {
    const { type } = question;
    const parsed = parseName(name, type, this.#domains);
    if (parsed === undefined) return undefined;
    const { lookup } = parsed;
    const domain = parsed.domain === '' ? this.#options.domain.toLowerCase() : parsed.domain;
    const datacenter = ('datacenter' in lookup && lookup.datacenter) || this.#options.datacenter;
    const asked: Asked = { question, name, domain, datacenter, depth, signal };
    if (lookup.kind === 'reverse') return this.#reverse(lookup.address, asked);
    if (type === 'AXFR' || type === 'IXFR') return REFUSED_TRANSFER;
    if (type === 'SOA' || type === 'NS' || (type === 'ANY' && lookup.kind === 'apex'))
      return this.#zone(type === 'NS' ? 'NS' : 'SOA', asked);
    return this.#ours(lookup, asked);
  }

  #ours(lookup: Lookup, asked: Asked): Promise<Reply> | Reply {
    switch (lookup.kind) {
      case 'service':
      case 'connect':
        return this.#service(lookup, asked);
      case 'query':
        return this.#query(lookup.name, asked);
      case 'node':
        return this.#node(lookup.name, asked);
      case 'addr': {
        const { nodeTtlMs } = this.#options;
        const { type } = asked.question;
        const answers = type === 'SRV' ? [] : addressRecord(lookup.address, seconds(nodeTtlMs), type);
        return answers.length > 0 ? { ...NOTHING, answers } : this.#nothing(asked.domain, RCODE.noError);
      }
      case 'apex':
        return this.#nothing(asked.domain, RCODE.noError);
      default:
        return this.#nothing(asked.domain, RCODE.nxDomain);
    }
  }

  async #service(lookup: Extract<Lookup, { readonly tag: string }>, asked: Asked): Promise<Reply> {
    const args = {
      service: lookup.name,
      ...(lookup.tag === '' ? {} : { tags: [lookup.tag] }),
      ...(lookup.kind === 'connect' ? { connect: true } : {}),
    };
    const answer = await this.#ask('health.service', args, asked);
    const { value } = answer;
    if (value === undefined) return this.#unknown(asked);
    const { onlyPassing } = this.#options;
    const healthy = value.filter(({ Checks }) =>
      Checks.every(({ Status }) => (onlyPassing ? Status === 'passing' : Status !== 'critical')),
    );
    const ttl = seconds(this.#serviceTtlMs(lookup.name));
    return this.#instances(answer, healthy, asked, { datacenter: asked.datacenter, ttl });
  }

  async #query(name: string, asked: Asked): Promise<Reply> {
    const args = { query: name, agent: { node: this.#options.node, segment: '' } };
    const answer = await this.#ask('queries.execute', args, asked);
    if (answer.value?.Near !== '_ip') return this.#queried(answer, asked);
    const near = await this.#nodeOf(asked);
    const sorted = near === undefined ? answer : await this.#ask('queries.execute', { ...args, near }, asked);
    return this.#queried(sorted, { ...asked, personal: true });
  }

  /** The node that asks. Who is not known, or can't be found out now, is answered too: in no order. */
  async #nodeOf({ question, datacenter, signal }: Asked): Promise<string | undefined> {
    const { source: address = '' } = question;
    const options = { signal, ...this.#followOptions(datacenter) };
    try {
      return (await this.#deps.contract.read('catalog.byAddress', { address }, options)).value.Nodes[0];
    } catch {
      return undefined;
    }
  }

  #queried(answer: Answer<ReadValue<'queries.execute'>>, asked: Asked): Promise<Reply> | Reply {
    const { value, problem } = answer;
    // it may have been known before
    if (problem === 'Query not found') return this.#nothing(asked.domain, RCODE.nxDomain);
    if (value === undefined) return this.#unknown(asked);
    const { Nodes, Datacenter, DNS, Service, Near } = value;
    const ttl = seconds(DNS.TTL === '' ? this.#serviceTtlMs(Service) : (tryParseDuration(DNS.TTL) ?? 0));
    return this.#instances(answer, Nodes, asked, {
      datacenter: Datacenter,
      ttl,
      ordered: Near !== undefined && Near !== '_ip',
    });
  }

  #instances(
    answer: Answer<unknown>,
    instances: readonly QueryInstance[],
    asked: Asked,
    where: Pick<RecordContext, 'datacenter' | 'ttl'> & { readonly ordered?: boolean },
  ): Promise<Reply> | Reply {
    const { domain, question } = asked;
    if (instances.length === 0) return this.#planned(answer, asked, () => this.#nothing(domain, RCODE.nxDomain));
    const records = instanceRecords(instances, this.#context(asked, where));
    if (records.length === 0) return this.#planned(answer, asked, () => this.#nothing(domain, RCODE.noError));
    const { aRecordLimit } = this.#options;
    const most = aRecordLimit > 0 && question.type !== 'SRV' ? aRecordLimit : records.length;
    const set = new AnswerSet(records, most, where.ordered === true ? undefined : this.#deps.random);
    return this.#planned(answer, asked, (limit) => ({ ...NOTHING, ...set.pick(limit) }), records.some(isAlias));
  }

  async #node(name: string, asked: Asked): Promise<Reply> {
    const { datacenter, domain, question } = asked;
    const answer = await this.#ask('catalog.node', { node: name }, asked);
    const { value } = answer;
    if (value === undefined) return this.#unknown(asked);
    if (value === null) return this.#planned(answer, asked, () => this.#nothing(domain, RCODE.nxDomain));
    const ttl = seconds(this.#options.nodeTtlMs);
    const meta = metaRecords(value.Node, ttl);
    const addresses = nodeRecords(value.Node, this.#context(asked, { datacenter, ttl }));
    const all = question.type === 'TXT' || question.type === 'ANY';
    const answers = all ? [...addresses, ...meta] : addresses;
    const additionals = this.#options.nodeMetaTxt && !all ? meta : [];
    return this.#planned(
      answer,
      asked,
      () => ({
        ...NOTHING,
        answers,
        additionals,
        authorities: answers.length > 0 ? [] : [this.#soa(domain)],
      }),
      answers.some(isAlias),
    );
  }

  /** Replies, and keeps how for those who ask the same. What other names lead to is found out each time. */
  #planned(answer: Answer<unknown>, asked: Asked, plan: Plan, aliases = false): Promise<Reply> | Reply {
    const { question, name, depth, signal } = asked;
    if (aliases) return this.#aliases.complete(plan(question.limit), question, depth, signal);
    if (asked.personal === true || answer.entry === undefined) return plan(question.limit);
    const key = planKey(question.type, name);
    answer.entry.keep(key, plan);
    this.#recent.delete(key);
    this.#recent.set(key, answer.entry);
    if (this.#recent.size > MAX_RECENT) this.#recent.delete(this.#recent.keys().next().value as string);
    return plan(question.limit);
  }

  async #zone(type: 'SOA' | 'NS', asked: Asked): Promise<Reply> {
    const here = { ...asked, datacenter: this.#options.datacenter };
    const { value = [] } = await this.#ask('health.service', { service: 'consul' }, here);
    const servers = drawn(value, value.length, this.#deps.random);
    return zoneReply(type, asked.domain, servers, this.#options, this.#deps.now());
  }

  /** Undefined when nothing here has the address: others may know it. */
  async #reverse(address: string, { question, domain, datacenter, signal }: Asked): Promise<Reply | undefined> {
    const options = { signal, ...this.#followOptions(datacenter) };
    const { value } = await this.#deps.contract.read('catalog.byAddress', { address }, options);
    const [node] = value.Nodes;
    const [service] = value.Services;
    if (node === undefined && service === undefined) return undefined;
    const target =
      node === undefined ? `${service}.service.${datacenter}.${domain}` : nodeName(node, { datacenter, domain });
    if (question.type !== 'PTR' && question.type !== 'ANY') return this.#nothing(domain, RCODE.noError);
    return { ...NOTHING, answers: [{ ttl: 0, data: { type: 'PTR', target } }] };
  }

  /** Nothing could be found out: there is no such datacenter, or we can't tell. */
  async #unknown({ datacenter, domain, signal }: Asked): Promise<Reply> {
    if (datacenter === this.#options.datacenter) return FAILURE;
    const { value } = await this.#deps.contract.read('catalog.datacenters', {}, { signal });
    return value.includes(datacenter) ? FAILURE : this.#nothing(domain, RCODE.nxDomain);
  }

  /** A negative answer, with how long it may be cached. */
  #nothing(domain: string, rcode: number): Reply {
    return { rcode, authoritative: true, answers: [], authorities: [this.#soa(domain)] };
  }

  #soa(domain: string): DnsRecord {
    return soaRecord(domain, this.#options, this.#deps.now());
  }

  #ask<N extends ReadName>(name: N, args: ReadArgs<N>, asked: Asked): Promise<Answer<ReadValue<N>>> {
    return this.#deps.answers.ask({ name, args, ...this.#followOptions(asked.datacenter) }, asked.signal);
  }

  #followOptions(datacenter: string): FollowOptions {
    const token = this.#deps.token();
    return {
      ...(datacenter === this.#options.datacenter ? {} : { datacenter }),
      ...(token === '' ? {} : { token }),
    };
  }

  #context({ name, question, domain }: Asked, where: Pick<RecordContext, 'datacenter' | 'ttl'>): RecordContext {
    const { translateWanAddrs, datacenter, nodeMetaTxt } = this.#options;
    const wan = translateWanAddrs && where.datacenter !== datacenter;
    return {
      name,
      type: question.type,
      domain,
      wan,
      datacenter: where.datacenter,
      ttl: where.ttl,
      metaTxt: nodeMetaTxt,
    };
  }
}

function planKey(type: string, name: string): string {
  return `${type} ${name}`;
}

function seconds(ms: number): number {
  return Math.max(0, Math.floor(ms / 1_000));
}
