/** Counts what each client address holds and refuses more than its share. */
export class ClientLimiter {
  readonly #limit: number;
  readonly #counts = new Map<string, number>();
  #held = 0;

  /** @param limit for one address; 0 is without limit. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** How much all clients hold together. */
  get held(): number {
    return this.#held;
  }

  /** True when the client may have one more, which it gives back with {@link release}. Without an address (a Unix socket) there is no limit. */
  admit(client: string | undefined): boolean {
    if (client !== undefined) {
      const count = this.#counts.get(client) ?? 0;
      if (this.#limit > 0 && count >= this.#limit) return false;
      this.#counts.set(client, count + 1);
    }
    this.#held += 1;
    return true;
  }

  release(client: string | undefined): void {
    this.#held -= 1;
    if (client === undefined) return;
    const left = (this.#counts.get(client) ?? 1) - 1;
    if (left === 0) this.#counts.delete(client);
    else this.#counts.set(client, left);
  }
}
