import { IsthmusError } from './errors.ts';

/** A part that others hold before it can be made: where two need each other, one of them takes the other this way. */
export class Later<T> {
  readonly #what: string;
  #part: { readonly value: T } | undefined;

  constructor(what: string) {
    this.#what = what;
  }

  /** Throws `internal` before it was provided, which is before anything was started. */
  get value(): T {
    if (this.#part === undefined) throw new IsthmusError('internal', `${this.#what} was used before it was made`);
    return this.#part.value;
  }

  /** Throws `internal` the second time. */
  provide(value: T): void {
    if (this.#part !== undefined) throw new IsthmusError('internal', `${this.#what} was made twice`);
    this.#part = { value };
  }
}
