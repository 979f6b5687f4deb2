/** The parts of a request that need no more than its URL and its token. */
export interface SimpleGet {
  readonly url: string;
  /** Names and values in turn. */
  readonly rawHeaders: readonly string[];
}

/** Longer requests take the long way. */
const MAX_LENGTH = 8_192;

const REQUEST_LINE = /^GET (\/[!"$-~]*) HTTP\/1\.1$/; // visible ASCII but '#'
const HEADER_LINE = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):([\t\x20-\x7e\x80-\xff]*)$/;

/** Headers that change how a message is framed or how its connection is used. */
const SPECIAL = new Set(['connection', 'content-length', 'transfer-encoding', 'expect', 'upgrade', 'trailer', 'te']);

/**
 * Recognizes a whole, lone GET of HTTP/1.1 without a body on a connection that stays open. Everything else (a part of
 * a request, two of them, another method or version, anything unusual in a header) is undefined and left to Node's
 * parser, so that this one never has to decide what is malformed.
 */
export function parseSimpleGet(text: string): SimpleGet | undefined {
  if (text.length > MAX_LENGTH || text.indexOf('\r\n\r\n') !== text.length - 4) return undefined;
  const lines = text.slice(0, -4).split('\r\n');
  const url = REQUEST_LINE.exec(lines[0] as string)?.[1];
  if (url === undefined) return undefined;
  const rawHeaders: string[] = [];
  let hosts = 0;
  for (let at = 1; at < lines.length; at += 1) {
    const match = HEADER_LINE.exec(lines[at] as string);
    if (match === null) return undefined;
    const name = (match[1] as string).toLowerCase();
    const value = withoutSpace(match[2] as string);
    if (name === 'host') hosts += 1;
    else if (SPECIAL.has(name) && !(name === 'connection' && value.toLowerCase() === 'keep-alive')) return undefined;
    rawHeaders.push(name, value);
  }
  return hosts === 1 ? { url, rawHeaders } : undefined;
}

/**
 * A value without the optional space around it: spaces and tabs only (RFC 9110, section 5.5), in time that its length
 * bounds.
 */
function withoutSpace(text: string): string {
  let [start, end] = [0, text.length];
  while (start < end && isSpace(text.charCodeAt(start))) start += 1;
  while (end > start && isSpace(text.charCodeAt(end - 1))) end -= 1;
  return text.slice(start, end);
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x09;
}
