/** Keeps the last `limit` bytes of what is written, and counts all. */
export class LastBytes {
  readonly #limit: number;
  #chunks: Buffer[] = [];
  #held = 0;
  #total = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get total(): number {
    return this.#total;
  }

  write(chunk: Buffer): void {
    this.#total += chunk.length;
    this.#chunks.push(chunk.length > this.#limit ? chunk.subarray(chunk.length - this.#limit) : chunk);
    this.#held += Math.min(chunk.length, this.#limit);
    // Put together now and then only, so that a flood of small chunks costs no more than its bytes.
    if (this.#held >= this.#limit * 2) this.#compact();
  }

  bytes(): Buffer {
    this.#compact();
    return this.#chunks[0] ?? Buffer.alloc(0);
  }

  #compact(): void {
    const all = Buffer.concat(this.#chunks);
    this.#chunks = [all.subarray(Math.max(0, all.length - this.#limit))];
    this.#held = this.#chunks[0]?.length ?? 0;
  }
}
