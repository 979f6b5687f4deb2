import { isTruncated, readAddresses, writeQuestion } from './packet.ts';
import type { Recursors } from './recursors.ts';
import type { DnsRecord, Question, Reply } from './types.ts';

export interface AliasesDeps {
  /** Undefined for a name that is not ours. */
  readonly resolve: (question: Question, depth: number, signal: AbortSignal) => Promise<Reply | undefined>;
  readonly recursors: Recursors;
}

/** Names that lead to names, ours among them, are followed so far. */
const MAX_DEPTH = 3;
/** Names that another server's answer goes through at most, and addresses taken of it. */
const MAX_NAMES = 16;
const MAX_ADDRESSES = 128;
/** Addresses that an SRV record brings along of a name. */
const MAX_EXTRA = 5;

interface Found {
  readonly records: readonly DnsRecord[];
  /** There are more addresses. */
  readonly more: boolean;
}

const NOTHING: Found = { records: [], more: false };

/** Finds the addresses behind names that services and nodes have in place of addresses. */
export class Aliases {
  readonly #deps: AliasesDeps;

  constructor(deps: AliasesDeps) {
    this.#deps = deps;
  }

  /** The reply with what its names lead to: beside an alias, or as what belongs to an SRV record. */
  async complete(reply: Reply, question: Question, depth: number, signal: AbortSignal): Promise<Reply> {
    const { type, limit } = question;
    const [first] = reply.answers;
    if (first?.data.type === 'CNAME') {
      if (type === 'CNAME') return reply;
      const { records, more } = await this.#follow(first.data.target, type, limit, depth, signal);
      return { ...reply, answers: [first, ...records], more, truncatable: true };
    }
    const answers = reply.answers.map(async (record) => {
      if (record.data.type !== 'SRV' || !isAlias(record)) return record;
      const { records } = await this.#follow(record.data.target, 'A', MAX_EXTRA, depth, signal);
      return { ...record, extra: [...records, ...(record.extra ?? [])] };
    });
    return { ...reply, answers: await Promise.all(answers) };
  }

  async #follow(name: string, type: string, limit: number, depth: number, signal: AbortSignal): Promise<Found> {
    if (depth >= MAX_DEPTH) return NOTHING;
    const { resolve, recursors } = this.#deps;
    const own = await resolve({ name, type, limit }, depth + 1, signal);
    if (own !== undefined)
      return { records: own.answers.map((record) => ({ name, ...record })), more: own.more === true };
    if (!recursors.any) return NOTHING;
    const answer = await recursors.askWhole(writeQuestion(name, type), signal);
    if (answer === undefined) return NOTHING;
    const found = readAddresses(answer);
    const names = found.filter(({ data }) => data.type === 'CNAME').slice(0, MAX_NAMES);
    const addresses = found.filter(({ data }) => data.type !== 'CNAME');
    const most = Math.min(limit, MAX_ADDRESSES);
    return {
      records: [...names, ...addresses.slice(0, most)],
      more: addresses.length > most || isTruncated(answer),
    };
  }
}

/** Whether a record names something whose address it does not bring along. */
export function isAlias({ data, extra = [] }: DnsRecord): boolean {
  if (data.type === 'CNAME') return true;
  return data.type === 'SRV' && !extra.some(({ data: of }) => of.type === 'A' || of.type === 'AAAA');
}
