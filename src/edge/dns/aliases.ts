import { readAddresses, writeQuestion } from './packet.ts';
import type { Recursors } from './recursors.ts';
import type { DnsRecord, Question, Reply } from './types.ts';

export interface AliasesDeps {
  /** Undefined for a name that is not ours. */
  readonly resolve: (question: Question, depth: number, signal: AbortSignal) => Promise<Reply | undefined>;
  readonly recursors: Recursors;
}

/** Names that lead to names, ours among them, are followed so far. */
const MAX_DEPTH = 3;
/** Records taken of what a name leads to. */
const MAX_RECORDS = 5;

/** Finds the addresses behind names that services and nodes have in place of addresses. */
export class Aliases {
  readonly #deps: AliasesDeps;

  constructor(deps: AliasesDeps) {
    this.#deps = deps;
  }

  /** The reply with what its names lead to: beside an alias, or as what belongs to an SRV record. */
  async complete(reply: Reply, type: string, depth: number, signal: AbortSignal): Promise<Reply> {
    const [first] = reply.answers;
    if (first?.data.type === 'CNAME')
      return { ...reply, answers: [first, ...(await this.#follow(first.data.target, type, depth, signal))] };
    const answers = reply.answers.map(async (record) => {
      if (record.data.type !== 'SRV' || !isAlias(record)) return record;
      const found = await this.#follow(record.data.target, 'A', depth, signal);
      return { ...record, extra: [...found, ...(record.extra ?? [])] };
    });
    return { ...reply, answers: await Promise.all(answers) };
  }

  async #follow(name: string, type: string, depth: number, signal: AbortSignal): Promise<readonly DnsRecord[]> {
    if (depth >= MAX_DEPTH) return [];
    const { resolve, recursors } = this.#deps;
    const own = await resolve({ name, type, limit: MAX_RECORDS }, depth + 1, signal);
    if (own !== undefined) return own.answers.map((record) => ({ name, ...record }));
    if (!recursors.any) return [];
    const answer = await recursors.ask(writeQuestion(name, type), 'udp', signal);
    return answer === undefined ? [] : readAddresses(answer).slice(0, MAX_RECORDS);
  }
}

/** Whether a record names something whose address it does not bring along. */
export function isAlias({ data, extra = [] }: DnsRecord): boolean {
  if (data.type === 'CNAME') return true;
  return data.type === 'SRV' && !extra.some(({ data: of }) => of.type === 'A' || of.type === 'AAAA');
}
