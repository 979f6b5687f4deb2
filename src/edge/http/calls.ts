import { IsthmusError, invariant } from '../../lib/errors.ts';
import { BytePaths } from './byte-paths.ts';
import { Query } from './query.ts';
import { foreignParameter } from './request-guard.ts';
import type { PreparedCall } from './route.ts';
import type { PathEntry } from './table.ts';

/** A GET that is ready to be run: the parsed form of a URL. */
export interface ReadyCall {
  readonly call: PreparedCall;
  readonly query: Query;
  readonly pretty: boolean;
  readonly entry: PathEntry;
}

/** URLs above this length are not worth keeping. */
const MAX_KEPT_URL = 512;

/** The parsed forms of URLs that are asked for again and again; the oldest goes first. */
export class ReadyCalls {
  readonly #limit: number;
  readonly #kept = new Map<string, ReadyCall>();
  /** Prepared GETs by their path, or by what stands before the rest of it (ends with '/'). */
  readonly #entries = new Map<string, PathEntry>();

  readonly #bytePaths: BytePaths;

  /** @param limit URLs kept. */
  constructor(table: readonly PathEntry[], limit: number) {
    this.#limit = limit;
    this.#bytePaths = new BytePaths(table);
    for (const entry of table) {
      if (entry.bytes || entry.routes.get('GET')?.prepare === undefined || entry.path.includes(':')) continue;
      this.#entries.set(entry.path.replace(/\*.*$/, ''), entry);
    }
  }

  kept(url: string): ReadyCall | undefined {
    return this.#kept.get(url);
  }

  /** Finds or makes the call for a URL; undefined when only the router knows, or when the URL is at fault. */
  find(url: string): ReadyCall | undefined {
    const kept = this.#kept.get(url);
    if (kept !== undefined) return kept;
    const mark = url.indexOf('?');
    const path = mark < 0 ? url : url.slice(0, mark);
    const whole = this.#entries.get(path);
    try {
      const bytes = this.#bytePaths.find(url);
      if (bytes !== undefined) return 'entry' in bytes ? this.make(url, bytes.entry, bytes.params) : undefined;
      if (whole !== undefined && !path.endsWith('/')) return this.make(url, whole, whole.paramsOf({}));
      const rest = path.lastIndexOf('/') + 1;
      const entry = this.#entries.get(path.slice(0, rest));
      if (entry === undefined) return undefined;
      return this.make(url, entry, entry.paramsOf({ '*': decodeURIComponent(path.slice(rest)) }));
    } catch {
      return undefined; // the slow way says what is wrong
    }
  }

  /** Parses a URL for its route and keeps the result. Throws `invalid_argument`. */
  make(url: string, entry: PathEntry, params: Readonly<Record<string, string>>): ReadyCall {
    const mark = url.indexOf('?');
    const query = new Query(mark < 0 ? '' : url.slice(mark + 1));
    const foreign = foreignParameter(query, false);
    if (foreign !== undefined) throw new IsthmusError('invalid_argument', foreign);
    const call = entry.routes.get('GET')?.prepare?.(params, query);
    invariant(call !== undefined, `${entry.path} has no prepared form`);
    const ready = { call, query, pretty: query.has('pretty'), entry };
    // An index changes with every request, and a token has no place in a long-lived table.
    if (url.length > MAX_KEPT_URL || query.has('index') || query.has('token')) return ready;
    if (this.#kept.size >= this.#limit) this.#kept.delete(this.#kept.keys().next().value as string);
    this.#kept.set(url, ready);
    return ready;
  }
}
