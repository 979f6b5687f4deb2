import { textOfBytes } from '../../lib/bytes-in-text.ts';
import type { ApiResponse } from './route.ts';
import type { PathEntry } from './table.ts';

export type FoundPath =
  | { readonly entry: PathEntry; readonly params: Readonly<Record<string, string>> }
  /** The path has a shorter form, or can't be read. */
  | { readonly answer: ApiResponse };

/**
 * Paths whose rest is bytes, not text: they need not be UTF-8, and a coded '/' is one. As Go's router does, which
 * Consul has, a path with an empty part, '.' or '..' is sent to its shorter form.
 */
export class BytePaths {
  readonly #entries: { readonly prefix: string; readonly entry: PathEntry }[] = [];

  constructor(table: readonly PathEntry[]) {
    for (const entry of table) if (entry.bytes) this.#entries.push({ prefix: entry.pattern.slice(0, -1), entry });
  }

  /** Undefined when it is none of these paths. */
  find(url: string, method = 'GET'): FoundPath | undefined {
    for (const { prefix, entry } of this.#entries) {
      if (!url.startsWith(prefix.slice(0, -1))) continue;
      const mark = url.indexOf('?');
      const path = mark < 0 ? url : url.slice(0, mark);
      if (path.length < prefix.length) return { answer: redirect(prefix, mark < 0 ? '' : url.slice(mark), method) };
      if (!path.startsWith(prefix)) continue;
      const raw = path.slice(prefix.length);
      const bytes = decodePercent(raw);
      if (bytes === undefined) return { answer: { status: 400, text: 'Bad Request' } };
      if (UNCLEAN.test(bytes))
        return { answer: redirect(clean(prefix + bytes), mark < 0 ? '' : url.slice(mark), method) };
      return { entry, params: entry.paramsOf({ '*': textOfBytes(Buffer.from(bytes, 'latin1')) }) };
    }
    return undefined;
  }
}

/** An empty part, '.' or '..', seen from behind the slash that ends the prefix. */
const UNCLEAN = /^\/|\/\/|(?:^|\/)\.\.?(?:\/|$)/;

/** The bytes as latin1; undefined when the path is malformed. */
function decodePercent(raw: string): string | undefined {
  if (!raw.includes('%')) return raw;
  if (/%(?![0-9a-f]{2})/i.test(raw)) return undefined;
  return raw.replace(/%([0-9a-f]{2})/gi, (_all, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

function clean(path: string): string {
  const parts: string[] = [];
  for (const part of path.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  return `/${parts.join('/')}${parts.length > 0 && path.endsWith('/') ? '/' : ''}`;
}

/** @param path bytes as latin1 @param query with its '?', as it came */
function redirect(path: string, query: string, method: string): ApiResponse {
  const coded = path.replace(/[^A-Za-z0-9\-_.~/$&+,:;=@]/g, (byte) => {
    const hex = byte.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0');
    return `%${hex}`;
  });
  const location = `${coded}${query.replace(/[^\x21-\x7e]/g, '')}`;
  if (method !== 'GET' && method !== 'HEAD') return { status: 307, headers: { Location: location } };
  const shown = location
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&#34;');
  return {
    status: 307,
    headers: { Location: location },
    text: `<a href="${shown}">Temporary Redirect</a>.\n\n`,
    contentType: 'text/html; charset=utf-8',
  };
}
