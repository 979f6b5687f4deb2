import { type HttpRequest, splitPath } from './request.ts';

/**
 * How a request that comes in is brought into one form before rules are asked about it: the mesh entry's HTTP.Incoming.
 */
export interface RequestNormalisation {
  /** Dot segments, back slashes and needless escapes go. */
  readonly path: boolean;
  readonly mergeSlashes: boolean;
  readonly escapedSlashes: 'keep' | 'reject' | 'redirect' | 'forward';
  readonly underscores: 'allow' | 'reject' | 'drop';
}

/** Without a mesh entry. */
export const NORMALISED_BY_DEFAULT: RequestNormalisation = {
  path: true,
  mergeSlashes: false,
  escapedSlashes: 'keep',
  underscores: 'allow',
};

export type Normalised =
  | { readonly action: 'forward'; readonly request: HttpRequest }
  /** 400 */
  | { readonly action: 'reject'; readonly reason: string }
  /** 307 to this path */
  | { readonly action: 'redirect'; readonly path: string };

/** In Envoy's order: headers, escaped slashes, the path, slashes. */
export function normaliseRequest(request: HttpRequest, options: RequestNormalisation): Normalised {
  let { headers, path } = request;
  if (options.underscores !== 'allow' && headers.some(([name]) => name.includes('_'))) {
    if (options.underscores === 'reject') return { action: 'reject', reason: 'a header name has an underscore' };
    headers = headers.filter(([name]) => !name.includes('_'));
  }
  if (path.includes('#')) return { action: 'reject', reason: 'the path has a fragment' };
  let redirect = false;
  if (options.escapedSlashes !== 'keep') {
    const unescaped = unescapeSlashes(path);
    if (unescaped !== path) {
      if (options.escapedSlashes === 'reject') return { action: 'reject', reason: 'the path has an escaped slash' };
      redirect = options.escapedSlashes === 'redirect';
      path = unescaped;
    }
  }
  if (options.path) {
    const normal = normalPath(path);
    if (normal === undefined) return { action: 'reject', reason: 'the path can not be normalised' };
    path = normal;
  }
  if (options.mergeSlashes) path = mergeSlashes(path);
  if (redirect) return { action: 'redirect', path };
  return { action: 'forward', request: { ...request, headers, path } };
}

function unescapeSlashes(given: string): string {
  const [path, rest] = splitPath(given);
  return path.replace(/%2f/gi, '/').replace(/%5c/gi, '\\') + rest;
}

function mergeSlashes(given: string): string {
  const [path, rest] = splitPath(given);
  return path.replace(/\/{2,}/g, '/') + rest;
}

/** Characters that need no escape. */
const UNRESERVED = /[A-Za-z0-9._~-]/;
/** Characters that are escaped when they are not so already: as in the URL library that Envoy uses. */
const ESCAPED = /[ "#<>?^`{}]|\p{Cc}/u;

/** Undefined for a path that is none: one that does not begin with a slash, or holds a zero byte. */
function normalPath(given: string): string | undefined {
  const [path, rest] = splitPath(given);
  if (path === '*' || path === '') return given; // OPTIONS *, CONNECT
  if (!path.startsWith('/') && !path.startsWith('\\')) return undefined;
  const segments: string[] = [];
  const parts = unescaped(path)?.split('/');
  if (parts === undefined) return undefined;
  for (const [at, part] of parts.entries()) {
    if (at === 0) continue; // before the first slash
    const last = at === parts.length - 1;
    if (part === '..') segments.pop();
    if (part !== '.' && part !== '..') segments.push(part);
    else if (last) segments.push('');
  }
  return `/${segments.join('/')}${rest}`;
}

/**
 * Back slashes turned, unreserved characters unescaped, what needs it escaped; the other escapes stay as they were
 * written.
 */
function unescaped(path: string): string | undefined {
  let result = '';
  for (let at = 0; at < path.length; at += 1) {
    const char = path[at] as string; // HTTP parsers give one for each byte
    const hex = char === '%' ? /^[0-9a-f]{2}/i.exec(path.slice(at + 1, at + 3))?.[0] : undefined;
    if (hex !== undefined) {
      const decoded = String.fromCharCode(Number.parseInt(hex, 16));
      if (decoded === '\0') return undefined;
      result += UNRESERVED.test(decoded) ? decoded : `%${hex}`;
      at += 2;
    } else if (char === '\0') return undefined;
    else if (char === '\\') result += '/';
    else if (ESCAPED.test(char)) result += percent([char.charCodeAt(0)]);
    else if (char > '\x7f') result += percent(char > '\xff' ? UTF8.encode(char) : [char.charCodeAt(0)]);
    else result += char;
  }
  return result;
}

const UTF8 = new TextEncoder();

function percent(bytes: Iterable<number>): string {
  return [...bytes].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join('');
}
