import { IsthmusError } from '../lib/errors.ts';

/** How to reach the HTTP API. */
export interface ClientOptions {
  /** `host:port`, `http://host:port`, `https://host:port` or `unix:///path`. */
  readonly address: string;
  /** Sent as X-Consul-Token. */
  readonly token?: string;
  /** Datacenter that requests are meant for; the agent's own when absent. */
  readonly datacenter?: string;
  /** Let any server answer. */
  readonly stale?: boolean;
  readonly tls?: ClientTls;
  /** `user:password` for basic authentication. */
  readonly basicAuth?: string;
}

/** PEM texts, not paths. */
export interface ClientTls {
  /** Authorities to trust instead of the system's. */
  readonly ca?: readonly string[];
  readonly cert?: string;
  readonly key?: string;
  /** Name that the server's certificate must carry; the address' host when absent. */
  readonly serverName?: string;
  /** False accepts any certificate. */
  readonly verify?: boolean;
}

/** What may accompany each call. */
export interface CallOptions {
  readonly signal?: AbortSignal;
  readonly datacenter?: string;
  readonly token?: string;
  readonly stale?: boolean;
  readonly consistent?: boolean;
  /** Answer from the agent's cache. */
  readonly cached?: boolean;
  /** Wait until the answer is newer than this index. */
  readonly index?: number;
  /** Longest wait, a duration such as "30s". */
  readonly wait?: string;
  readonly filter?: string;
  readonly near?: string;
  readonly nodeMeta?: Readonly<Record<string, string>>;
}

/** An answer with what its headers say. */
export interface Answer<T> {
  readonly value: T;
  /** 0 when the endpoint has none. */
  readonly index: number;
}

export type QueryValue = string | number | boolean | readonly string[] | undefined;
export type Query = Readonly<Record<string, QueryValue>>;

/** An address taken apart. */
export interface Target {
  readonly secure: boolean;
  readonly host: string;
  readonly port: number;
  readonly socketPath?: string;
  /** As it stands in error texts: `http://127.0.0.1:8500`. */
  readonly base: string;
}

const DEFAULT_PORT = 8500;

/** `ssl` turns an address without scheme into https. */
export function parseAddress(address: string, ssl = false): Target {
  if (address.startsWith('unix://')) {
    const socketPath = address.slice('unix://'.length);
    if (socketPath === '') throw badAddress(address);
    return { secure: false, host: 'localhost', port: 0, socketPath, base: `http://${encodeURIComponent(socketPath)}` };
  }
  const [, scheme, rest = ''] = /^(?:([a-z]+):\/\/)?(.*)$/is.exec(address) ?? [];
  const secure = scheme === undefined ? ssl : scheme.toLowerCase() === 'https';
  if (scheme !== undefined && !/^https?$/i.test(scheme)) throw badAddress(address);
  const match = /^(\[[^\]]+\]|[^:/[\]]+)(?::([0-9]{1,5}))?\/?$/.exec(rest);
  const host = match?.[1];
  const port = Number(match?.[2] ?? (scheme === undefined ? DEFAULT_PORT : secure ? 443 : 80));
  if (host === undefined || port > 65_535) throw badAddress(address);
  const authority = match?.[2] === undefined && scheme !== undefined ? host : `${host}:${port}`;
  const base = `${secure ? 'https' : 'http'}://${authority}`;
  return { secure, host: host.replace(/^\[|\]$/g, ''), port, base };
}

function badAddress(address: string): IsthmusError {
  const text = `address ${JSON.stringify(address)} is neither host:port, http(s)://host:port nor unix:///path`;
  return new IsthmusError('invalid_argument', text);
}

/** The query of a call, sorted by name as Consul's client writes it. */
export function encodeQuery(query: Query): string {
  const params = new URLSearchParams();
  for (const name of Object.keys(query).sort()) {
    const value = query[name];
    if (value === undefined || value === false || value === '') continue;
    if (Array.isArray(value)) for (const item of value) params.append(name, item);
    else params.append(name, value === true ? '' : String(value));
  }
  const text = params.toString();
  return text === '' ? '' : `?${text}`;
}

/** What the options of a call add to its query. */
export function callQuery(call: CallOptions): Query {
  return {
    dc: call.datacenter,
    stale: call.stale === true && call.consistent !== true,
    consistent: call.consistent,
    cached: call.cached,
    index: call.index === undefined || call.index === 0 ? undefined : call.index,
    wait: call.wait,
    filter: call.filter,
    near: call.near,
    'node-meta':
      call.nodeMeta === undefined ? undefined : Object.entries(call.nodeMeta).map(([key, value]) => `${key}:${value}`),
  };
}
