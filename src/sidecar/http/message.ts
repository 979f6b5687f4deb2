import type { Readable, Writable } from 'node:stream';
import { IsthmusError } from '../../lib/errors.ts';
import { type HeaderLine, type HttpRequest, headerValue } from '../../model/layer7/request.ts';

/** What HTTP/1.1 and HTTP/2 have in common: a message is a head, a body, and lines after it. */

export interface ResponseHead {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: readonly HeaderLine[];
}

/** An answer of the other side. */
export interface Reply extends ResponseHead {
  readonly body: Readable;
  /** Lines after the body, once it has ended. */
  trailers(): readonly HeaderLine[];
}

/** Where a message's body goes. */
export interface BodySink {
  readonly stream: Writable;
  end(trailers: readonly HeaderLine[]): void;
}

/** A request that can't be taken; the text is for the one who sent it. */
export class BadRequest extends IsthmusError {
  readonly status: number;

  constructor(status: number, text: string) {
    super('invalid_argument', text);
    this.status = status;
  }
}

/** Lines of one head, as Envoy has it; more are refused. */
const MAX_LINES = 100;
/** Bytes of one head, as Envoy has it. */
export const MAX_HEAD = 60 * 1_024;

/** Bytes that one HTTP/2 stream, and one connection, may have in flight: what a slow reader makes this side hold. */
export const STREAM_WINDOW = 1 << 18;
export const SESSION_WINDOW = 1 << 20;

/** About one connection, never passed on (RFC 9110, 7.6.1). */
const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'proxy-authorization',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
  'expect',
]);

/** Node's flat list of names and values as lines. */
export function linesOf(raw: readonly string[]): readonly HeaderLine[] {
  const lines: HeaderLine[] = [];
  for (let n = 0; n + 1 < raw.length; n += 2) lines.push([(raw[n] as string).toLowerCase(), raw[n + 1] as string]);
  return lines;
}

export function lineOf(lines: readonly HeaderLine[], name: string): string | undefined {
  return lines.find(([given]) => given === name)?.[1];
}

/** Without what is about this connection, what its `connection` line names included. */
export function endToEnd(lines: readonly HeaderLine[]): readonly HeaderLine[] {
  const named = new Set(
    lines.filter(([name]) => name === 'connection').flatMap(([, value]) => value.toLowerCase().split(/[\s,]+/)),
  );
  return lines.filter(
    ([name, value]) =>
      !name.startsWith(':') &&
      !HOP_BY_HOP.has(name) &&
      (name === 'te' ? value.toLowerCase() === 'trailers' : !named.has(name)),
  );
}

/** What would mean something else if a receiver took it for a header (RFC 9110, 6.5.1), and what only proxies say. */
const NO_TRAILER = new Set(['host', 'content-length', 'authorization', 'cookie', 'te', 'trailer']);
const OF_PROXIES = /^x[-_]forwarded[-_]/;

/** Lines after a request's body, from Node's flat list. */
export function trailersOf(raw: readonly string[]): readonly HeaderLine[] {
  return endToEnd(linesOf(raw)).filter(([name]) => !NO_TRAILER.has(name) && !OF_PROXIES.test(name));
}

/** What a request means, from what HTTP/1.1 or HTTP/2 said. Throws {@link BadRequest}. */
export function requestHead(
  method: string,
  target: string,
  authority: string | undefined,
  lines: readonly HeaderLine[],
): HttpRequest {
  if (lines.length > MAX_LINES) throw new BadRequest(431, `a request has at most ${MAX_LINES} header lines`);
  const hosts = lines.filter(([name]) => name === 'host');
  if (hosts.length > 1) throw new BadRequest(400, 'a request has one host');
  const absolute = /^https?:\/\/([^/?#]*)(.*)$/is.exec(target);
  const path = absolute === null ? target : absolute[2]?.startsWith('/') ? absolute[2] : `/${absolute[2]}`;
  if (!path.startsWith('/') && !(path === '*' && method === 'OPTIONS'))
    throw new BadRequest(400, 'the path of a request begins with a slash');
  const host = authority ?? absolute?.[1] ?? hosts[0]?.[1] ?? '';
  const headers = endToEnd(lines).filter(([name]) => name !== 'host');
  return { method, path, authority: host, headers };
}

/** Lines as HTTP/1.1 writes them; cookies that HTTP/2 split are one line again (RFC 9113, 8.2.3). */
export function flatten(lines: readonly HeaderLine[]): string[] {
  const cookies = lines.filter(([name]) => name === 'cookie');
  const others = cookies.length < 2 ? lines : lines.filter(([name]) => name !== 'cookie');
  const flat = others.flat();
  if (cookies.length > 1) flat.push('cookie', cookies.map(([, value]) => value).join('; '));
  return flat;
}

/** Lines as Node's HTTP/2 takes them. */
export function grouped(lines: readonly HeaderLine[]): Record<string, string | string[]> {
  const result: Record<string, string | string[]> = {};
  for (const [name, value] of lines) {
    const known = result[name];
    if (known === undefined) result[name] = value;
    else if (typeof known === 'string') result[name] = [known, value];
    else known.push(value);
  }
  return result;
}

export function cookieOf(request: HttpRequest, name: string): string | undefined {
  for (const pair of headerValue(request, 'cookie')?.split(';') ?? []) {
    const equals = pair.indexOf('=');
    if (equals !== -1 && pair.slice(0, equals).trim() === name) return pair.slice(equals + 1).trim();
  }
  return undefined;
}
