import { IsthmusError } from '../lib/errors.ts';

/**
 * The part of the tar format (POSIX ustar) that snapshots need: plain files with short names. A reader of archives from
 * anywhere must bound what it holds and refuse everything else, which is less code than telling a library so.
 */

const BLOCK = 512;
const NAME = { at: 0, bytes: 100 };
const MODE_AT = 100;
const SIZE = { at: 124, bytes: 12 };
const SUM = { at: 148, bytes: 8 };
const TYPE_AT = 156;
const MAGIC_AT = 257;
const MAGIC = 'ustar\u000000';
const PLAIN_FILE = 0x30;

export interface TarFile {
  readonly name: string;
  readonly data: Buffer;
}

/** One file with its header, filled up to whole blocks. For its owner only; `mtime` in seconds since 1970. */
export function tarFile(name: string, data: Buffer, mtime: number): Buffer {
  const header = Buffer.alloc(BLOCK);
  header.write(name, NAME.at, NAME.bytes, 'latin1');
  header.write('0000600\u00000000000\u00000000000\u0000', MODE_AT, 'latin1'); // mode, owner, group
  header.write(`${octal(data.length, 11)}\u0000${octal(mtime, 11)}\u0000`, SIZE.at, 'latin1');
  header[TYPE_AT] = PLAIN_FILE;
  header.write(MAGIC, MAGIC_AT, 'latin1');
  header.write(`${octal(checksum(header), 6)}\u0000 `, SUM.at, 'latin1');
  return Buffer.concat([header, data, Buffer.alloc(padding(data.length))]);
}

/** Two empty blocks end an archive. */
export const TAR_END: Buffer = Buffer.alloc(2 * BLOCK);

/** The files of an archive, each whole, one after the other. Throws `rejected` for anything else. */
export async function* readTar(
  source: AsyncIterable<Uint8Array>,
  maxFileBytes: number,
): AsyncGenerator<TarFile, void, void> {
  const input = new Bytes(source);
  for (;;) {
    const header = await input.take(BLOCK);
    if (header.every((byte) => byte === 0)) break;
    const { name, size } = readHeader(header, maxFileBytes);
    const data = await input.take(size);
    await input.take(padding(size));
    yield { name, data };
  }
  if (!(await input.take(BLOCK)).every((byte) => byte === 0)) throw damaged('its end is not one');
  for await (const rest of input.rest())
    if (rest.some((byte) => byte !== 0)) throw damaged('something follows its end');
}

export function damaged(what: string, cause?: unknown): IsthmusError {
  return new IsthmusError('rejected', `the snapshot is damaged: ${what}`, { cause });
}

function readHeader(header: Buffer, maxFileBytes: number): { name: string; size: number } {
  if (header.toString('latin1', MAGIC_AT, MAGIC_AT + 5) !== 'ustar') throw damaged('it is not a tar archive');
  const sum = Number.parseInt(text(header, SUM), 8);
  if (sum !== checksum(header)) throw damaged('the checksum of a tar header does not match');
  const name = text(header, NAME);
  if (header[TYPE_AT] !== PLAIN_FILE) throw damaged(`${JSON.stringify(name)} in it is not a plain file`);
  const size = Number.parseInt(text(header, SIZE), 8);
  if (!Number.isSafeInteger(size) || size < 0) throw damaged(`the size of ${JSON.stringify(name)} can't be read`);
  if (size > maxFileBytes)
    throw damaged(`${JSON.stringify(name)} in it has ${size} bytes; at most ${maxFileBytes} are read`);
  return { name, size };
}

/** The sum of the header's bytes, with blanks where the sum itself stands. */
function checksum(header: Buffer): number {
  let sum = 0;
  for (let index = 0; index < BLOCK; index += 1) {
    const own = index >= SUM.at && index < SUM.at + SUM.bytes;
    sum += own ? 0x20 : (header[index] as number);
  }
  return sum;
}

function text(header: Buffer, { at, bytes }: { readonly at: number; readonly bytes: number }): string {
  const field = header.subarray(at, at + bytes);
  const end = field.indexOf(0);
  return field.toString('latin1', 0, end < 0 ? bytes : end).trim();
}

function octal(value: number, digits: number): string {
  return value.toString(8).padStart(digits, '0');
}

function padding(size: number): number {
  return (BLOCK - (size % BLOCK)) % BLOCK;
}

/** Takes exact numbers of bytes from chunks of any size. */
class Bytes {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #held: Buffer[] = [];
  #size = 0;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#chunks = source[Symbol.asyncIterator]();
  }

  async take(count: number): Promise<Buffer> {
    while (this.#size < count) {
      const next = await this.#chunks.next();
      if (next.done === true) throw damaged('it ends too early');
      this.#held.push(Buffer.from(next.value.buffer, next.value.byteOffset, next.value.byteLength));
      this.#size += next.value.byteLength;
    }
    const all = this.#held.length === 1 ? (this.#held[0] as Buffer) : Buffer.concat(this.#held);
    this.#held = [all.subarray(count)];
    this.#size -= count;
    return all.subarray(0, count);
  }

  async *rest(): AsyncGenerator<Uint8Array, void, void> {
    yield* this.#held;
    for (;;) {
      const next = await this.#chunks.next();
      if (next.done === true) return;
      yield next.value;
    }
  }
}
