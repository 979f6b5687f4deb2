import { IsthmusError } from '../lib/errors.ts';

/** What is wrong with a configuration: all of it is collected, so that one run lists everything there is to mend. */
export class Problems {
  readonly #found: string[] = [];
  /** Keys with an unusable value: rules about them would only repeat what is known. */
  readonly #broken = new Set<string>();
  /** Takes unknown keys as warnings, where they are ignored. */
  readonly #ignored: string[] | undefined;

  constructor(options: { readonly ignoreUnknown?: string[] } = {}) {
    this.#ignored = options.ignoreUnknown;
  }

  /** Runs `work`; its refusal is kept, and `undefined` returned. @param path key that has no value then. */
  attempt<T>(work: () => T, path?: string): T | undefined {
    try {
      return work();
    } catch (error) {
      if (!(error instanceof IsthmusError) || error.code !== 'invalid_argument') throw error;
      this.add(error.message);
      if (path !== undefined) this.#broken.add(path);
      return undefined;
    }
  }

  add(text: string): void {
    if (!this.#found.includes(text)) this.#found.push(text);
  }

  /** A key that is not known: a problem, or a warning where these are ignored. */
  addUnknown(text: string): void {
    if (this.#ignored === undefined) this.add(text);
    else this.#ignored.push(`${text} (ignored)`);
  }

  /** For a part whose problems decide whether it counts. */
  part(): Problems {
    return new Problems(this.#ignored === undefined ? {} : { ignoreUnknown: this.#ignored });
  }

  pourInto(other: Problems): void {
    for (const text of this.#found) other.add(text);
  }

  isBroken(path: string): boolean {
    return this.#broken.has(path);
  }

  get any(): boolean {
    return this.#found.length > 0;
  }

  /** Throws `invalid_argument` when anything was found: one text as it is, several as a list. */
  throwIfAny(): void {
    if (this.#found.length === 0) return;
    const [only] = this.#found;
    const text =
      this.#found.length === 1
        ? (only as string)
        : `${this.#found.length} problems:\n${this.#found.map((found) => `  ${found}`).join('\n')}`;
    throw new IsthmusError('invalid_argument', text, { details: { problems: [...this.#found] } });
  }
}
