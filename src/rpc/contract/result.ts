import type { CacheFacts, ReadResult } from './contract.ts';

interface ResultFacts {
  /** Revision at which the answer last changed. Values below 1 become 1: 0 means "don't block" to a client. */
  readonly index: number;
  /** Default true. */
  readonly knownLeader?: boolean;
  /** Milliseconds. Default 0. */
  readonly lastContactMs?: number;
  readonly cache?: CacheFacts;
}

export type ResultInput<T> = ResultFacts & ({ readonly value: T } | { readonly json: Buffer });

/** An answer of which one form is at hand; the other is made when first asked for, then kept. */
export function makeResult<T>(input: ResultInput<T>): ReadResult<T> {
  return new LazyResult(input);
}

class LazyResult<T> implements ReadResult<T> {
  readonly index: number;
  readonly knownLeader: boolean;
  readonly lastContactMs: number;
  readonly cache?: CacheFacts;
  #value: T | undefined;
  #hasValue = false;
  #json: Buffer | undefined;

  constructor(input: ResultInput<T>) {
    this.index = Math.max(1, input.index);
    this.knownLeader = input.knownLeader ?? true;
    this.lastContactMs = input.lastContactMs ?? 0;
    if (input.cache !== undefined) this.cache = input.cache;
    if ('json' in input) this.#json = input.json;
    else {
      this.#value = input.value;
      this.#hasValue = true;
    }
  }

  get value(): T {
    if (!this.#hasValue) {
      this.#value = JSON.parse((this.#json as Buffer).toString('utf8')) as T;
      this.#hasValue = true;
    }
    return this.#value as T;
  }

  get json(): Buffer {
    this.#json ??= Buffer.from(JSON.stringify(this.#value) ?? 'null');
    return this.#json;
  }
}
