import type { Query } from './query.ts';

/**
 * The ACL token of a request; the query goes before the header, and this before `Authorization`, as in Consul.
 * @param rawHeaders names and values in turn: building the object of all headers would cost more than the look-up.
 */
export function requestToken(rawHeaders: readonly string[], query: Query): string | undefined {
  const fromQuery = query.get('token');
  if (fromQuery !== undefined && fromQuery !== '') return fromQuery;
  let bearer: string | undefined;
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] as string;
    if (name.length !== X_CONSUL_TOKEN.length && name.length !== AUTHORIZATION.length) continue;
    const lower = name.toLowerCase();
    const value = rawHeaders[at + 1] as string;
    if (lower === X_CONSUL_TOKEN && value !== '') return value;
    if (lower === AUTHORIZATION) bearer = /^bearer +(\S+)\s*$/i.exec(value)?.[1];
  }
  return bearer;
}

const X_CONSUL_TOKEN = 'x-consul-token';
const AUTHORIZATION = 'authorization';
