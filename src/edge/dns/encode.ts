import { addressBytes } from '../../lib/address.ts';
import { IsthmusError } from '../../lib/errors.ts';
import type { DnsRecord } from './types.ts';

/** A message to be written. The library that reads them writes no compressed names, which cost most of a datagram. */
export interface Message {
  readonly id: number;
  /** Header flags with the response code. */
  readonly flags: number;
  /** The question section as it came. */
  readonly question: Buffer;
  readonly answers: readonly DnsRecord[];
  readonly authorities: readonly DnsRecord[];
  readonly additionals: readonly DnsRecord[];
  /** What an OPT record says: our datagram size, the upper bits of the response code, a cookie. Absent writes none. */
  readonly edns?: { readonly size: number; readonly extendedRcode: number; readonly cookie?: Buffer };
}

const TYPES: Readonly<Record<string, number>> = { A: 1, NS: 2, CNAME: 5, SOA: 6, PTR: 12, TXT: 16, AAAA: 28, SRV: 33 };
const CLASS_IN = 1;
const OPT = 41;
/** Code of the option, RFC 7873. */
export const COOKIE = 10;
const OPTION_HEAD = 4;
const MAX_MESSAGE = 65_535;
const MAX_LABEL = 63;
const MAX_NAME = 253;
/** Offsets that a compressed name can point to. */
const MAX_POINTER = 0x3fff;
const POINTER = 0xc000;
/** Where the question's name stands: after the header. */
const QUESTION_AT = 12;
/** Bytes of the question's type and class, after its name. */
const AFTER_NAME = 4;
const DOT = 46;
const ZERO = 48;
const NO_QUESTION = Buffer.alloc(0);
const MAX_TEXT = 255;

/** Whether a name can be written at all. */
export function isEncodable(name: string): boolean {
  if (name === '') return true;
  if (Buffer.byteLength(name) > MAX_NAME) return false;
  return name.split('.').every((label) => label !== '' && Buffer.byteLength(label) <= MAX_LABEL);
}

export function encodeMessage(message: Message, compress = true): Buffer {
  const writer = new Writer(compress);
  const { question, answers, authorities, additionals, edns } = message;
  writer.uint16(message.id);
  writer.uint16(message.flags);
  writer.uint16(question.length === 0 ? 0 : 1);
  writer.uint16(answers.length);
  writer.uint16(authorities.length);
  writer.uint16(additionals.length + (edns === undefined ? 0 : 1));
  writer.question(question);
  for (const record of answers) writer.record(record);
  for (const record of authorities) writer.record(record);
  for (const record of additionals) writer.record(record);
  if (edns !== undefined) {
    writer.bytes(Buffer.from([0]));
    writer.uint16(OPT);
    writer.uint16(edns.size);
    writer.uint32(edns.extendedRcode << 24);
    const { cookie } = edns;
    writer.uint16(cookie === undefined ? 0 : OPTION_HEAD + cookie.length);
    if (cookie !== undefined) {
      writer.uint16(COOKIE);
      writer.uint16(cookie.length);
      writer.bytes(cookie);
    }
  }
  return writer.take();
}

class Writer {
  readonly #compress: boolean;
  /** Where each name, or the rest of one, stands. */
  readonly #names = new Map<string, number>();
  #question: Buffer = NO_QUESTION;
  #questionKnown = false;
  #buffer = Buffer.allocUnsafe(1_024);
  #at = 0;

  constructor(compress: boolean) {
    this.#compress = compress;
  }

  take(): Buffer {
    return this.#buffer.subarray(0, this.#at);
  }

  uint16(value: number): void {
    this.#room(2);
    this.#at = this.#buffer.writeUInt16BE(value & 0xffff, this.#at);
  }

  uint32(value: number): void {
    this.#room(4);
    this.#at = this.#buffer.writeUInt32BE(value >>> 0, this.#at);
  }

  bytes(bytes: Buffer): void {
    this.#room(bytes.length);
    this.#at += bytes.copy(this.#buffer, this.#at);
  }

  question(bytes: Buffer): void {
    this.#question = bytes;
    this.bytes(bytes);
  }

  record({ name, ttl, data }: DnsRecord): void {
    if (name === undefined) this.#askedName();
    else this.#name(name, this.#compress);
    this.uint16(TYPES[data.type] as number);
    this.uint16(CLASS_IN);
    this.uint32(ttl);
    this.uint16(0);
    const start = this.#at;
    switch (data.type) {
      case 'A':
        this.#room(4);
        this.#at = writeV4(data.address, this.#buffer, this.#at);
        break;
      case 'AAAA':
        this.bytes(addressBytes(data.address));
        break;
      case 'SRV':
        this.uint16(data.priority);
        this.uint16(data.weight);
        this.uint16(data.port);
        this.#name(data.target, false); // RFC 2782 forbids compression here
        break;
      case 'TXT':
        this.#text(Buffer.from(data.text));
        break;
      case 'SOA':
        this.#name(data.server, this.#compress);
        this.#name(data.mailbox, this.#compress);
        for (const value of [data.serial, data.refresh, data.retry, data.expire, data.minimum]) this.uint32(value);
        break;
      default:
        this.#name(data.target, this.#compress);
    }
    this.#buffer.writeUInt16BE(this.#at - start, start - 2);
  }

  #text(bytes: Buffer): void {
    let at = 0;
    do {
      const part = bytes.subarray(at, at + MAX_TEXT);
      this.bytes(Buffer.from([part.length]));
      this.bytes(part);
      at += MAX_TEXT;
    } while (at < bytes.length);
  }

  /** The name of the question, as it stands there. */
  #askedName(): void {
    if (this.#compress && this.#question.length > 0) this.uint16(POINTER | QUESTION_AT);
    else this.bytes(this.#question.subarray(0, Math.max(0, this.#question.length - AFTER_NAME)));
  }

  #name(name: string, compress: boolean): void {
    if (compress) this.#knowQuestion();
    this.#room(MAX_NAME + 2);
    for (let from = 0; from < name.length; ) {
      const rest = from === 0 ? name : name.slice(from);
      const known = compress ? this.#names.get(rest) : undefined;
      if (known !== undefined) {
        this.uint16(POINTER | known);
        return;
      }
      if (this.#at <= MAX_POINTER && !this.#names.has(rest)) this.#names.set(rest, this.#at);
      const dot = name.indexOf('.', from);
      const end = dot < 0 ? name.length : dot;
      const length = this.#buffer.write(name.slice(from, end), this.#at + 1, MAX_NAME, 'utf8');
      if (length === 0 || length > MAX_LABEL)
        throw new IsthmusError('internal', `no DNS name: ${JSON.stringify(name)}`);
      this.#buffer[this.#at] = length;
      this.#at += length + 1;
      this.#room(MAX_NAME + 2);
      from = end + 1;
    }
    this.#buffer[this.#at] = 0;
    this.#at += 1;
  }

  /** Lets names point into the question. Most answers have no name but that one itself, and need nothing of it. */
  #knowQuestion(): void {
    if (this.#questionKnown) return;
    this.#questionKnown = true;
    const bytes = this.#question;
    const starts: number[] = [];
    for (let at = 0; at < bytes.length - AFTER_NAME - 1; at += (bytes[at] as number) + 1) starts.push(at);
    let rest = '';
    for (const at of starts.reverse()) {
      const label = bytes.toString('utf8', at + 1, at + 1 + (bytes[at] as number));
      rest = rest === '' ? label : `${label}.${rest}`;
      this.#names.set(rest, QUESTION_AT + at);
    }
  }

  #room(count: number): void {
    if (this.#at + count <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#at + count));
    this.#buffer.copy(larger, 0, 0, this.#at);
    this.#buffer = larger;
  }
}

/** Longest message that TCP can carry. */
export const MAX_TCP_MESSAGE = MAX_MESSAGE;

/** @returns where it ends. */
function writeV4(address: string, into: Buffer, at: number): number {
  let value = 0;
  let to = at;
  for (let index = 0; index < address.length; index += 1) {
    const code = address.charCodeAt(index);
    if (code !== DOT) value = value * 10 + code - ZERO;
    else {
      into[to] = value;
      to += 1;
      value = 0;
    }
  }
  into[to] = value;
  return to + 1;
}
