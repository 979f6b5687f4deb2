import { randomInt } from 'node:crypto';
import packet from 'dns-packet';
import { isCookie } from './cookies.ts';
import { COOKIE, encodeMessage, MAX_TCP_MESSAGE, type Message } from './encode.ts';
import { type DnsRecord, RCODE, type Reply } from './types.ts';

/** A question as it came. */
export interface Request {
  readonly id: number;
  /** Without a dot at the end, in the asker's case. */
  readonly name: string;
  readonly type: string;
  /** The question section, byte by byte. */
  readonly raw: Buffer;
  readonly recursionDesired: boolean;
  /** Datagram size that the asker takes, when it said. */
  readonly ednsSize: number | undefined;
  /** The data of its COOKIE option. */
  readonly cookie: Buffer | undefined;
}

export interface ReplyLimits {
  readonly udpAnswerLimit: number;
  /** Bytes of a UDP answer at most, however many the asker takes. */
  readonly udpMaxSize: number;
  /** Say when answers were left out because of `udpAnswerLimit`, or of the asker's own datagram size. */
  readonly enableTruncate: boolean;
  readonly compress: boolean;
}

export interface ReplyOptions extends ReplyLimits {
  readonly transport: 'udp' | 'tcp';
  readonly recursionAvailable: boolean;
  /** For the OPT record of the reply. */
  readonly cookie?: Buffer;
}

const HEADER = 12;
/** Longest answer for those who did not say more. */
const PLAIN_UDP = 512;
/** Most records in such an answer, whatever is configured. */
const MAX_PLAIN_ANSWERS = 8;
const MAX_LABEL = 63;
/** Fewest bytes of a record with its address. */
const MIN_RECORD: Readonly<Record<string, number>> = { SRV: 48, AAAA: 28 };
const MIN_ANY_RECORD = 13;
/** Type, class, time to live and length of a record, after its name. */
const RECORD_HEAD = 10;
const TYPE_AND_CLASS = 4;
const OPT = 41;
const OPTION_HEAD = 4;
const FLAG_RESPONSE = 0x8000;
const FLAG_AUTHORITATIVE = 0x0400;
const FLAG_TRUNCATED = 0x0200;
const FLAG_RECURSION_DESIRED = 0x0100;
const FLAG_RECURSION_AVAILABLE = 0x0080;
const OPCODE = 0x7800;
/** BADVERS without its lowest four bits, which the header holds. */
const BAD_VERSION = 1;

/** Reads a request. What can't be answered gives the bytes to send instead, or undefined: no word about it. */
export function readRequest(bytes: Buffer): Request | Buffer | undefined {
  if (bytes.length < HEADER || (bytes.readUInt16BE(2) & FLAG_RESPONSE) !== 0) return undefined;
  if ((bytes.readUInt16BE(2) & OPCODE) !== 0) return failure(bytes, RCODE.notImplemented);
  try {
    const { id = 0, questions, additionals } = packet.decode(bytes);
    const [first] = questions ?? [];
    const raw = questionOf(bytes);
    if (first === undefined || raw === undefined || questions?.length !== 1) return failure(bytes, RCODE.formatError);
    if (first.class !== 'IN' && first.class !== 'ANY') return failure(bytes, RCODE.refused);
    const opts = (additionals ?? []).filter((record) => record.type === 'OPT');
    if (opts.length > 1) return failure(bytes, RCODE.formatError);
    const [opt] = opts;
    const cookie = cookieOf(opt);
    if (cookie !== undefined && !isCookie(cookie)) return failure(bytes, RCODE.formatError);
    const recursionDesired = (bytes.readUInt16BE(2) & FLAG_RECURSION_DESIRED) !== 0;
    if (opt !== undefined && opt.ednsVersion > 0)
      return encodeMessage({
        id,
        flags: FLAG_RESPONSE | (recursionDesired ? FLAG_RECURSION_DESIRED : 0),
        question: raw,
        answers: [],
        authorities: [],
        additionals: [],
        edns: { size: PLAIN_UDP, extendedRcode: BAD_VERSION },
      });
    return {
      id,
      name: first.name === '.' ? '' : first.name,
      type: (first.type as string) ?? '',
      raw,
      recursionDesired,
      ednsSize: opt?.udpPayloadSize,
      cookie,
    };
  } catch {
    return failure(bytes, RCODE.formatError);
  }
}

function cookieOf(opt: packet.OptAnswer | undefined): Buffer | undefined {
  const option = opt?.options.find(({ code }) => Number(code) === COOKIE);
  return option?.data === undefined ? undefined : Buffer.from(option.data);
}

/** A question of our own to another server. */
export function writeQuestion(name: string, type: string): Buffer {
  return packet.encode({
    type: 'query',
    id: randomInt(0x10000),
    flags: FLAG_RECURSION_DESIRED,
    questions: [{ name, type: (type === 'ANY' ? 'A' : type) as packet.RecordType }],
  });
}

/**
 * A message whose OPT record has this COOKIE option, or none: a cookie is between two sides, and goes no further (RFC
 * 7873, 5). As it was when it has no OPT record.
 */
export function withCookie(message: Buffer, cookie?: Buffer): Buffer {
  const opt = optOf(message);
  if (opt === undefined) return message;
  const options: Buffer[] = [];
  for (let at = opt.data; at + OPTION_HEAD <= opt.end; ) {
    const end = at + OPTION_HEAD + message.readUInt16BE(at + 2);
    if (end > opt.end) return message;
    if (message.readUInt16BE(at) !== COOKIE) options.push(message.subarray(at, end));
    at = end;
  }
  if (cookie !== undefined) {
    const head = Buffer.alloc(OPTION_HEAD);
    head.writeUInt16BE(COOKIE, 0);
    head.writeUInt16BE(cookie.length, 2);
    options.push(head, cookie);
  }
  const data = Buffer.concat(options);
  const length = Buffer.alloc(2);
  length.writeUInt16BE(data.length, 0);
  return Buffer.concat([message.subarray(0, opt.data - 2), length, data, message.subarray(opt.end)]);
}

/** Where the options of a message's OPT record begin and end. */
function optOf(message: Buffer): { readonly data: number; readonly end: number } | undefined {
  const afterName = (from: number): number => {
    let at = from;
    for (let length = message[at] ?? 0; length !== 0; length = message[at] ?? 0) {
      if (length > MAX_LABEL) return at + 2; // a pointer ends a name
      at += length + 1;
    }
    return at + 1;
  };
  if (message.length < HEADER) return undefined;
  let at = HEADER;
  for (let left = message.readUInt16BE(4); left > 0; left -= 1) at = afterName(at) + TYPE_AND_CLASS;
  const records = message.readUInt16BE(6) + message.readUInt16BE(8) + message.readUInt16BE(10);
  for (let left = records; left > 0; left -= 1) {
    const head = afterName(at);
    const data = head + RECORD_HEAD;
    if (data > message.length) return undefined;
    const end = data + message.readUInt16BE(data - 2);
    if (end > message.length) return undefined;
    if (message.readUInt16BE(head) === OPT) return { data, end };
    at = end;
  }
  return undefined;
}

/** Whether an answer that may have come from anywhere says that it is not whole. */
export function isTruncated(bytes: Buffer): boolean {
  return bytes.length >= HEADER && (bytes.readUInt16BE(2) & FLAG_TRUNCATED) !== 0;
}

/** Addresses, and the names that lead to them, out of another server's answer; none when it can't be read. */
export function readAddresses(bytes: Buffer): readonly DnsRecord[] {
  try {
    return (packet.decode(bytes).answers ?? []).flatMap((answer): readonly DnsRecord[] => {
      if (answer.type === 'A' || answer.type === 'AAAA')
        return [{ name: answer.name, ttl: answer.ttl ?? 0, data: { type: answer.type, address: answer.data } }];
      if (answer.type !== 'CNAME') return [];
      return [{ name: answer.name, ttl: answer.ttl ?? 0, data: { type: 'CNAME', target: answer.data } }];
    });
  } catch {
    return [];
  }
}

/** A header alone that says what is wrong, for a request that could not be read. */
function failure(request: Buffer, rcode: number): Buffer {
  const flags = request.readUInt16BE(2) & (OPCODE | FLAG_RECURSION_DESIRED);
  const header = Buffer.alloc(HEADER);
  header.writeUInt16BE(request.readUInt16BE(0), 0);
  header.writeUInt16BE(FLAG_RESPONSE | flags | rcode, 2);
  return header;
}

/** How many answers may find room in the reply. */
export function answerLimit({ type, ednsSize }: Request, options: ReplyOptions): number {
  const size = replySize(ednsSize, options);
  if (options.transport === 'udp' && size === PLAIN_UDP) return Math.min(options.udpAnswerLimit, MAX_PLAIN_ANSWERS);
  return Math.ceil(size / (MIN_RECORD[type] ?? MIN_ANY_RECORD));
}

/** Most bytes of the reply. */
export function replySize(ednsSize: number | undefined, { transport, udpMaxSize }: ReplyOptions): number {
  return transport === 'tcp' ? MAX_TCP_MESSAGE : Math.min(Math.max(ednsSize ?? 0, PLAIN_UDP), udpMaxSize);
}

/** The reply as bytes; answers are left out until it fits. */
export function writeReply(request: Request, reply: Reply, options: ReplyOptions): Buffer {
  const { ednsSize } = request;
  const size = replySize(ednsSize, options);
  const all = reply.answers;
  const flags =
    FLAG_RESPONSE |
    (reply.authoritative ? FLAG_AUTHORITATIVE : 0) |
    (request.recursionDesired ? FLAG_RECURSION_DESIRED : 0) |
    (options.recursionAvailable ? FLAG_RECURSION_AVAILABLE : 0) |
    reply.rcode;
  const saysSo = options.transport === 'udp' && (options.enableTruncate || reply.truncatable === true);
  let answers = firstOf(all, answerLimit(request, options));
  let truncated = saysSo && (answers.length < all.length || reply.more === true);
  let withExtra = true;
  for (;;) {
    const bytes = encodeMessage(
      {
        id: request.id,
        flags: truncated ? flags | FLAG_TRUNCATED : flags,
        question: request.raw,
        answers,
        authorities: reply.authorities ?? [],
        additionals: withExtra ? additionalsOf(answers, reply.additionals ?? []) : [],
        ...(ednsSize === undefined ? {} : { edns: ednsOf(options) }),
      },
      options.compress,
    );
    if (bytes.length <= size || (answers.length === 0 && !withExtra)) return bytes;
    if (answers.length > 1) {
      const fewer = Math.min(answers.length - 1, Math.ceil((answers.length * size) / bytes.length));
      answers = answers.slice(0, fewer);
    } else if (withExtra) withExtra = false;
    else answers = [];
    // Who would take more than we send gets the rest over TCP.
    if (answers.length < all.length) truncated ||= saysSo || size < (ednsSize ?? 0);
  }
}

function ednsOf({ udpMaxSize, cookie }: ReplyOptions): NonNullable<Message['edns']> {
  return { size: udpMaxSize, extendedRcode: 0, ...(cookie === undefined ? {} : { cookie }) };
}

/** So many answers from the beginning; names that lead to others do not count. */
function firstOf(records: readonly DnsRecord[], limit: number): readonly DnsRecord[] {
  if (records.length <= limit) return records;
  let counted = 0;
  const end = records.findIndex(({ data }) => data.type !== 'CNAME' && ++counted > limit);
  return end < 0 ? records : records.slice(0, end);
}

/** What the answers bring along, each once. */
function additionalsOf(answers: readonly DnsRecord[], more: readonly DnsRecord[]): readonly DnsRecord[] {
  if (more.length === 0 && answers.every(({ extra }) => extra === undefined)) return more;
  const records = new Map<string, DnsRecord>();
  for (const record of [...answers.flatMap(({ extra }) => extra ?? []), ...more])
    records.set(identityOf(record), record);
  return [...records.values()];
}

function identityOf({ name = '', data }: DnsRecord): string {
  if (data.type === 'A' || data.type === 'AAAA') return `${name} ${data.address}`;
  return data.type === 'TXT' ? `${name} ${data.text}` : JSON.stringify([name, data]);
}

/** The question section of a message with one question; undefined when its name is not plainly written there. */
export function questionOf(bytes: Buffer): Buffer | undefined {
  let at = HEADER;
  for (let length = bytes[at]; length !== 0; length = bytes[at]) {
    if (length === undefined || length > MAX_LABEL) return undefined;
    at += length + 1;
  }
  return at + 5 > bytes.length ? undefined : bytes.subarray(HEADER, at + 5);
}
