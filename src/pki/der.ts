import { IsthmusError } from '../lib/errors.ts';

/** Tags of DER that X.509 needs. */
export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  utf8String: 0x0c,
  printableString: 0x13,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** Context-specific tag `[n]`, constructed unless `primitive`. */
export function contextTag(n: number, primitive = false): number {
  return (primitive ? 0x80 : 0xa0) | n;
}

export function malformed(what: string): IsthmusError {
  return new IsthmusError('invalid_argument', `malformed certificate data: ${what}`);
}

/**
 * Reads DER strictly: one-byte tags, definite and minimal lengths, nothing left over where a structure must end.
 * Everything it refuses is an `invalid_argument`. Contents are views of the input, never copies.
 */
export class DerReader {
  readonly #buffer: Buffer;
  readonly #end: number;
  #at: number;

  constructor(buffer: Buffer, start = 0, end = buffer.length) {
    this.#buffer = buffer;
    this.#at = start;
    this.#end = end;
  }

  get done(): boolean {
    return this.#at >= this.#end;
  }

  /** The next tag, or -1 at the end. */
  peek(): number {
    return this.#at < this.#end ? (this.#buffer[this.#at] as number) : -1;
  }

  /** Contents of the next element, which must have `tag`. */
  read(tag: number): Buffer {
    const [start, end] = this.#element(tag);
    return this.#buffer.subarray(start, end);
  }

  /** The next element with its tag and length. */
  raw(tag: number): Buffer {
    const from = this.#at;
    const [, end] = this.#element(tag);
    return this.#buffer.subarray(from, end);
  }

  /** A reader of the inside of the next element. */
  enter(tag: number): DerReader {
    const [start, end] = this.#element(tag);
    return new DerReader(this.#buffer, start, end);
  }

  /** Throws when something is left. */
  finish(): void {
    if (this.#at !== this.#end) throw malformed('bytes after the end of a structure');
  }

  oid(): string {
    return decodeOid(this.read(TAG.oid));
  }

  /** A non-negative INTEGER's bytes without the sign byte. */
  unsigned(): Buffer {
    const bytes = this.integer();
    if (((bytes[0] as number) & 0x80) !== 0) throw malformed('a negative number');
    return bytes.length > 1 && bytes[0] === 0 ? bytes.subarray(1) : bytes;
  }

  /** An INTEGER's two's complement bytes, minimal. */
  integer(): Buffer {
    const bytes = this.read(TAG.integer);
    const first = bytes[0];
    if (first === undefined) throw malformed('an empty number');
    const second = bytes[1];
    if (second !== undefined && ((first === 0 && second < 0x80) || (first === 0xff && second >= 0x80)))
      throw malformed('a number with needless leading bytes');
    return bytes;
  }

  /** A small non-negative INTEGER. */
  smallInteger(): number {
    const bytes = this.unsigned();
    if (bytes.length > 4) throw malformed('a number out of range');
    return bytes.readUIntBE(0, bytes.length);
  }

  boolean(): boolean {
    const bytes = this.read(TAG.boolean);
    if (bytes.length !== 1 || (bytes[0] !== 0 && bytes[0] !== 0xff)) throw malformed('a boolean');
    return bytes[0] === 0xff;
  }

  /** A BIT STRING of whole bytes. */
  bits(): Buffer {
    const bytes = this.read(TAG.bitString);
    if (bytes.length === 0 || bytes[0] !== 0) throw malformed('a bit string with unused bits');
    return bytes.subarray(1);
  }

  /** A BIT STRING as a number, first bit lowest; at most 24 bits, no trailing zero bits (named bits, X.690 11.2.2). */
  flags(): number {
    const bytes = this.read(TAG.bitString);
    const unused = bytes[0];
    if (unused === undefined || unused > 7 || bytes.length > 4 || (bytes.length === 1 && unused !== 0))
      throw malformed('a bit string');
    let flags = 0;
    for (let i = 1; i < bytes.length; i += 1) {
      for (let bit = 0; bit < 8; bit += 1) {
        if (((bytes[i] as number) & (0x80 >> bit)) !== 0) flags |= 1 << ((i - 1) * 8 + bit);
      }
    }
    if (bytes.length > 1) {
      const last = bytes[bytes.length - 1] as number;
      if ((last & ((1 << unused) - 1)) !== 0 || (last & (1 << unused)) === 0) throw malformed('a bit string');
    }
    return flags;
  }

  /** UTCTime or GeneralizedTime, in milliseconds since 1970, only in the forms that RFC 5280 allows. */
  time(): number {
    const tag = this.peek();
    const text = this.read(tag === TAG.generalizedTime ? TAG.generalizedTime : TAG.utcTime).toString('latin1');
    const match = (tag === TAG.generalizedTime ? GENERALIZED_TIME : UTC_TIME).exec(text);
    if (match === null) throw malformed('a time');
    const [, year, month, day, hour, minute, second] = match.map(Number) as [
      number,
      number,
      number,
      number,
      number,
      number,
      number,
    ];
    const full = tag === TAG.generalizedTime ? year : year < 50 ? 2000 + year : 1900 + year;
    if (tag === TAG.generalizedTime && full < 2050 && full >= 1950) throw malformed('a time that must be UTCTime');
    const ms = Date.UTC(full, month - 1, day, hour, minute, second);
    const back = new Date(ms);
    if (
      full < 1000 ||
      back.getUTCMonth() !== month - 1 ||
      back.getUTCDate() !== day ||
      hour > 23 ||
      minute > 59 ||
      second > 59
    )
      throw malformed('a time');
    return ms;
  }

  #element(tag: number): [start: number, end: number] {
    if (this.peek() !== tag) throw malformed(this.done ? 'it ends too early' : 'an unexpected element');
    const buffer = this.#buffer;
    let at = this.#at + 1;
    if (at >= this.#end) throw malformed('it ends too early');
    let length = buffer[at++] as number;
    if (length >= 0x80) {
      const count = length & 0x7f;
      if (count === 0 || count > 3 || at + count > this.#end) throw malformed('a length');
      length = buffer.readUIntBE(at, count);
      if (length < 0x80 || (count > 1 && length < 1 << (8 * (count - 1)))) throw malformed('a length');
      at += count;
    }
    const end = at + length;
    if (end > this.#end) throw malformed('it ends too early');
    this.#at = end;
    return [at, end];
  }
}

const UTC_TIME = /^(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/;
const GENERALIZED_TIME = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/;

/** One element: tag, minimal length, contents. */
export function der(tag: number, ...contents: readonly Uint8Array[]): Buffer {
  let length = 0;
  for (const content of contents) length += content.length;
  const head = length < 0x80 ? 2 : length < 0x100 ? 3 : length < 0x1_0000 ? 4 : 5;
  const out = Buffer.allocUnsafe(head + length);
  out[0] = tag;
  if (head === 2) out[1] = length;
  else {
    out[1] = 0x80 | (head - 2);
    out.writeUIntBE(length, 2, head - 2);
  }
  let at = head;
  for (const content of contents) {
    out.set(content, at);
    at += content.length;
  }
  return out;
}

export function sequence(...contents: readonly Uint8Array[]): Buffer {
  return der(TAG.sequence, ...contents);
}

/** BIT STRING of whole bytes. */
export function bitString(bytes: Uint8Array): Buffer {
  return der(TAG.bitString, Buffer.from([0]), bytes);
}

/** A non-negative INTEGER from big-endian bytes. */
export function unsignedInteger(bytes: Uint8Array): Buffer {
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start += 1;
  const trimmed = bytes.subarray(start);
  return ((trimmed[0] ?? 0) & 0x80) !== 0 || trimmed.length === 0
    ? der(TAG.integer, Buffer.from([0]), trimmed)
    : der(TAG.integer, trimmed);
}

const encodedOids = new Map<string, Buffer>();

/** An OBJECT IDENTIFIER; encoded once. The same buffer is returned each time: don't change it. */
export function oid(dotted: string): Buffer {
  let encoded = encodedOids.get(dotted);
  if (encoded === undefined) {
    encoded = encodeOid(dotted);
    if (encodedOids.size < MAX_KNOWN_OIDS) encodedOids.set(dotted, encoded);
  }
  return encoded;
}

const MAX_KNOWN_OIDS = 64;

function encodeOid(dotted: string): Buffer {
  const [first, second, ...rest] = dotted.split('.').map(Number) as [number, number, ...number[]];
  const bytes: number[] = [];
  for (const arc of [first * 40 + second, ...rest]) {
    const groups = [arc % 0x80];
    for (let left = Math.floor(arc / 0x80); left > 0; left = Math.floor(left / 0x80))
      groups.unshift(0x80 | (left % 0x80));
    bytes.push(...groups);
  }
  return der(TAG.oid, Buffer.from(bytes));
}

/** UTCTime before 2050, GeneralizedTime from then on (RFC 5280, 4.1.2.5); whole seconds. */
export function time(ms: number): Buffer {
  const digits = new Date(ms).toISOString().replace(/[-:T]|\.\d+/g, '');
  return digits < '2050'
    ? der(TAG.utcTime, Buffer.from(digits.slice(2), 'latin1'))
    : der(TAG.generalizedTime, Buffer.from(digits, 'latin1'));
}

function decodeOid(bytes: Buffer): string {
  if (bytes.length === 0 || ((bytes[bytes.length - 1] as number) & 0x80) !== 0) throw malformed('an object identifier');
  const arcs: number[] = [];
  let arc = 0;
  let fresh = true;
  for (const byte of bytes) {
    if (fresh && byte === 0x80) throw malformed('an object identifier');
    if (arc > 2 ** 40) throw malformed('an object identifier');
    arc = arc * 0x80 + (byte & 0x7f);
    fresh = (byte & 0x80) === 0;
    if (fresh) {
      arcs.push(arc);
      arc = 0;
    }
  }
  const head = arcs[0] as number;
  const first = head < 40 ? 0 : head < 80 ? 1 : 2;
  return [first, head - first * 40, ...arcs.slice(1)].join('.');
}
