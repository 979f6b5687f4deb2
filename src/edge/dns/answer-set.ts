import type { DnsRecord, Reply } from './types.ts';

/** Answers of which each question gets some, in an order of chance unless there is a better one. */
export class AnswerSet {
  readonly #records: readonly DnsRecord[];
  /** Most records that anyone gets. */
  readonly #most: number;
  readonly #random: (() => number) | undefined;

  /** @param random chance in [0, 1); undefined keeps the order. */
  constructor(records: readonly DnsRecord[], most: number, random: (() => number) | undefined) {
    this.#records = records;
    this.#most = Math.min(most, records.length);
    this.#random = random;
  }

  pick(limit: number): Pick<Reply, 'answers' | 'more'> {
    const count = Math.min(limit, this.#most);
    const answers =
      this.#random === undefined ? this.#records.slice(0, count) : drawn(this.#records, count, this.#random);
    return { answers, more: count < this.#most };
  }
}

/** `count` of the items, each choice and order as likely as any other. */
export function drawn<T>(items: readonly T[], count: number, random: () => number): readonly T[] {
  const rest = items.slice();
  for (let at = 0; at < count; at += 1) {
    const other = at + Math.floor(random() * (rest.length - at));
    const item = rest[other] as T;
    rest[other] = rest[at] as T;
    rest[at] = item;
  }
  rest.length = count;
  return rest;
}
