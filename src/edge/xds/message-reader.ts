import { IsthmusError } from '../../lib/errors.ts';

/** Before each message of gRPC: whether it is compressed (1 byte), and its length (4 bytes). */
export const HEAD_BYTES = 5;

/** Puts messages together out of the pieces that a stream comes in. */
export class MessageReader {
  readonly #maxMessage: number;
  #pieces: Buffer[] = [];
  #bytes = 0;
  /** Bytes that must be there before there is anything to do. */
  #needs = HEAD_BYTES;

  /** @param maxMessage bytes */
  constructor(maxMessage: number) {
    this.#maxMessage = maxMessage;
  }

  add(piece: Buffer): void {
    this.#pieces.push(piece);
    this.#bytes += piece.length;
  }

  clear(): void {
    this.#pieces = [];
    this.#bytes = 0;
    this.#needs = HEAD_BYTES;
  }

  /** The next whole message. Throws for one that is not taken. */
  next(): Buffer | undefined {
    if (this.#bytes < this.#needs) return undefined;
    const all = this.#joined();
    const length = all.readUInt32BE(1);
    if (all[0] !== 0) throw new IsthmusError('method_not_allowed', 'compressed messages are not taken');
    if (length > this.#maxMessage)
      throw new IsthmusError('too_large', `a message of more than ${this.#maxMessage} bytes is not taken`);
    const end = HEAD_BYTES + length;
    if (all.length < end) {
      this.#needs = end;
      return undefined;
    }
    const rest = all.subarray(end);
    this.clear();
    if (rest.length > 0) this.add(rest);
    return all.subarray(HEAD_BYTES, end);
  }

  /** In one piece: done when the head of a message is there, and when its end is. */
  #joined(): Buffer {
    const [first, ...others] = this.#pieces as [Buffer, ...Buffer[]];
    if (others.length === 0) return first;
    const joined = Buffer.concat(this.#pieces);
    this.#pieces = [joined];
    return joined;
  }
}
