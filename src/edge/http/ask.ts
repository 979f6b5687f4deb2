import { textOfBytes } from '../../lib/bytes-in-text.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { HTTP_STATUS } from '../../model/status.ts';
import { Query } from './query.ts';
import type { ApiRequest, Route } from './route.ts';

/** An answer to a question that was asked within the process. */
export interface AskedAnswer {
  readonly status: number;
  readonly index: string;
  /** Undefined unless the status is 200. */
  readonly json: unknown;
  readonly text: string;
}

/** Asks the HTTP API without a connection. @param path encoded */
export type Ask = (
  path: string,
  query: Readonly<Record<string, string | readonly string[] | true>>,
  token: string,
  signal: AbortSignal,
) => Promise<AskedAnswer>;

/** @param routes guarded as those for clients are */
export function askRoutes(routes: readonly Route[]): Ask {
  const gets = routes
    .filter(({ method }) => method === 'GET')
    .map((route) => ({ route, ...patternOf(route.path) }))
    // What has no names comes first, as in the router.
    .sort((a, b) => a.names.length - b.names.length);
  return async (path, given, token, signal) => {
    try {
      for (const { route, pattern, names } of gets) {
        const match = pattern.exec(path);
        if (match === null) continue;
        const text = (part = ''): string =>
          route.rest === 'bytes' ? textOfBytes(Buffer.from(decodeURIComponent(part))) : decodeURIComponent(part);
        const params = Object.fromEntries(names.map((name, at) => [name, text(match[at + 1])]));
        return await run(route, requestOf(path, params, queryOf(given), token, signal));
      }
      return { status: 404, index: '', json: undefined, text: `no endpoint at ${path}` };
    } catch (thrown) {
      if (signal.aborted) throw thrown;
      const { code, message } = IsthmusError.from(thrown);
      return { status: HTTP_STATUS[code], index: '', json: undefined, text: message };
    }
  };
}

function queryOf(given: Parameters<Ask>[1]): Query {
  const text = new URLSearchParams();
  for (const [name, value] of Object.entries(given))
    for (const each of typeof value === 'object' ? value : [value]) text.append(name, each === true ? '' : each);
  return new Query(text.toString());
}

function patternOf(path: string): { readonly pattern: RegExp; readonly names: readonly string[] } {
  const names: string[] = [];
  const source = path
    .replace(/[.+?^${}()|[\]\\]/g, '\\$&')
    .replace(/:(\w+)|\*(\w+)/g, (_all, part: string | undefined, rest: string | undefined) => {
      names.push(part ?? rest ?? '');
      return part === undefined ? '(.*)' : '([^/]+)';
    });
  return { pattern: new RegExp(`^${source}$`), names };
}

async function run(route: Route, request: ApiRequest): Promise<AskedAnswer> {
  const { status = 200, headers = {}, json, bytes, text = '' } = await route.handle(request);
  const index = Object.entries(headers).find(([name]) => name.toLowerCase() === 'x-consul-index')?.[1] ?? '';
  if (status !== 200) return { status, index, json: undefined, text };
  return { status, index, json: bytes === undefined ? json : JSON.parse(bytes.toString('utf8')), text };
}

function requestOf(
  path: string,
  params: Readonly<Record<string, string>>,
  query: Query,
  token: string,
  signal: AbortSignal,
): ApiRequest {
  return {
    method: 'GET',
    path,
    params,
    query,
    token: token === '' ? undefined : token,
    signal,
    body: Buffer.alloc(0),
    bodyStream: (async function* () {})(),
    remoteAddress: '',
    header: () => undefined,
  };
}
