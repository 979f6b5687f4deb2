/** Fields of one request that are named; a body may hold many more. */
export const MAX_NAMED = 32;
/** Characters of one field's path. */
const MAX_PATH = 128;
/** Fields of a body that this version does not know, in a form that a header and a log line can carry. */
export class PassedOver {
  readonly #paths = new Set<string>();

  readonly add = (path: string): void => {
    if (this.#paths.size < MAX_NAMED) this.#paths.add(encodeURIComponent(wellFormed(path)));
  };

  get paths(): readonly string[] {
    return [...this.#paths];
  }
}

/** Cut, and without halves of surrogate pairs, which can't be encoded. */
function wellFormed(path: string): string {
  return Buffer.from(path.slice(0, MAX_PATH)).toString();
}
