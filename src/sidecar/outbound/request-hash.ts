import { type HeaderLine, type HttpRequest, headerValue, queryValue } from '../../model/layer7/request.ts';
import type { HashPolicy } from '../../model/layer7/route-table.ts';
import { cookieOf } from '../http/message.ts';
import { hashOf } from './chooser.ts';

export interface Hashed {
  /** 32 bits; undefined: no policy said anything about the request. */
  readonly hash?: number;
  /** `set-cookie` lines for the answer: of a policy that hands a cookie out. */
  readonly cookies: readonly HeaderLine[];
}

/** What a request is balanced by. @param from address of the caller @param newValue of a cookie that is handed out */
export function hashRequest(
  policies: readonly HashPolicy[],
  request: HttpRequest,
  from: string,
  newValue: () => string,
): Hashed {
  let hash: number | undefined;
  const cookies: HeaderLine[] = [];
  for (const policy of policies) {
    let text = textOf(policy, request, from);
    if (text === undefined && policy.type === 'cookie' && policy.ttlMs !== undefined) {
      text = newValue();
      cookies.push(['set-cookie', cookieLine(policy.name, text, policy.ttlMs, policy.path)]);
    }
    if (text !== undefined)
      hash = hash === undefined ? hashOf(text) : (((hash << 1) | (hash >>> 31)) ^ hashOf(text)) >>> 0;
    if (policy.terminal === true && hash !== undefined) break;
  }
  return hash === undefined ? { cookies } : { hash, cookies };
}

function textOf(policy: HashPolicy, request: HttpRequest, from: string): string | undefined {
  switch (policy.type) {
    case 'header':
      return headerValue(request, policy.name);
    case 'query':
      return queryValue(request, policy.name);
    case 'cookie':
      return cookieOf(request, policy.name);
    case 'source ip':
      return from;
  }
}

function cookieLine(name: string, value: string, ttlMs: number, path: string | undefined): string {
  const age = ttlMs === 0 ? '' : `; Max-Age=${Math.ceil(ttlMs / 1_000)}`;
  return `${name}="${value}"${age}${path === undefined ? '' : `; Path=${path}`}; HttpOnly`;
}
