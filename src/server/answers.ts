import { hasCode, IsthmusError } from '../lib/errors.ts';
import type { ReadResult } from '../rpc/contract/contract.ts';
import type { ReadArgs, ReadName, ReadValue } from '../rpc/contract/reads.ts';
import { makeResult } from '../rpc/contract/result.ts';
import type { Topics } from '../store/topics.ts';
import type { ReadDefinitions } from './definitions.ts';

interface CachedAnswer {
  readonly topics: readonly string[];
  readonly result: ReadResult<unknown>;
}

/** Answers kept at most; the least recently used goes first. */
const MAX_ANSWERS = 4_096;

/**
 * Makes the answers to reads and keeps them until one of their topics changes, so that repeated reads share one value
 * and one JSON text.
 */
export class Answers {
  readonly #definitions: ReadDefinitions;
  readonly #topics: Topics;
  readonly #kept = new Map<string, CachedAnswer>();
  /** The last answer of reads that give a word and depend on no topic. */
  readonly #words = new Map<ReadName, ReadResult<unknown>>();

  constructor(definitions: ReadDefinitions, topics: Topics) {
    this.#definitions = definitions;
    this.#topics = topics;
  }

  topicsOf<N extends ReadName>(name: N, args: ReadArgs<N>): readonly string[] {
    return this.#definitions[name].topics(args);
  }

  /** The answer now. A `not_found` carries the index in its details, so that its absence can be blocked on. */
  get<N extends ReadName>(name: N, args: ReadArgs<N>, topics: readonly string[]): ReadResult<ReadValue<N>> {
    const index = this.#topics.index(topics);
    // Sorted by round-trip time, an answer changes without any topic; without topics there is no signal of its changes.
    const keep =
      topics.length > 0 && (args as { near?: string }).near === undefined && this.#definitions[name].keep !== false;
    if (!keep) return this.#sameAsBefore(name, this.#make(name, args, index));
    const key = `${name} ${JSON.stringify(args)}`;
    const kept = this.#kept.get(key);
    if (kept !== undefined) {
      this.#kept.delete(key);
      if (kept.result.index === index) {
        this.#kept.set(key, kept);
        return kept.result as ReadResult<ReadValue<N>>;
      }
    }
    const result = this.#make(name, args, index);
    this.#kept.set(key, { topics, result });
    if (this.#kept.size > MAX_ANSWERS) this.#kept.delete(this.#kept.keys().next().value as string);
    return result;
  }

  /** A word, such as a leader's address, is made anew for every question: what was made of it before is used again. */
  #sameAsBefore<T>(name: ReadName, result: ReadResult<T>): ReadResult<T> {
    if (typeof result.value !== 'string') return result;
    const before = this.#words.get(name);
    if (before?.value === result.value && before.index === result.index) return before as ReadResult<T>;
    this.#words.set(name, result);
    return result;
  }

  #make<N extends ReadName>(name: N, args: ReadArgs<N>, index: number): ReadResult<ReadValue<N>> {
    try {
      return makeResult({ index, value: this.#definitions[name].produce(args) as ReadValue<N> });
    } catch (error) {
      if (!hasCode(error, 'not_found')) throw error;
      throw new IsthmusError(error.code, error.message, { cause: error, details: { ...error.details, index } });
    }
  }
}
