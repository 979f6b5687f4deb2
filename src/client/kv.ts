import type { KvEntry } from '../model/kv.ts';
import { flagsAsTexts } from '../model/kv-json.ts';
import type { Answer, CallOptions, Query } from './options.ts';
import type { Transport } from './transport.ts';

/** At most one of `cas`, `acquire` and `release`. */
export interface PutOptions {
  /** A decimal text above 2^53-1. */
  readonly flags?: number | string;
  /** Only when the key has this ModifyIndex; 0: only when it does not exist. */
  readonly cas?: number;
  /** Take the lock for this session. */
  readonly acquire?: string;
  /** Let go of the lock that this session holds. */
  readonly release?: string;
}

/** The key/value store. Calls may block: see `index` and `waitMs` of {@link CallOptions}. */
export interface KvApi {
  /** The entry, undefined when there is none. */
  get(key: string, call?: CallOptions): Promise<Answer<KvEntry | undefined>>;
  list(prefix: string, call?: CallOptions): Promise<Answer<readonly KvEntry[]>>;
  /** With a separator names end at the first one after the prefix. */
  keys(prefix: string, separator?: string, call?: CallOptions): Promise<Answer<readonly string[]>>;
  /** False when what was expected of the key did not hold. */
  put(key: string, value: string | Uint8Array, options?: PutOptions, call?: CallOptions): Promise<boolean>;
  /** False when the key does not have the index `cas`. */
  delete(key: string, cas?: number, call?: CallOptions): Promise<boolean>;
  /** All keys that begin with the prefix. */
  deleteTree(prefix: string, call?: CallOptions): Promise<void>;
}

export function createKvApi(transport: Transport): KvApi {
  const pathOf = (key: string): string => `/v1/kv/${key.split('/').map(encodeURIComponent).join('/')}`;
  const read = async <T>(key: string, query: Query, call: CallOptions, none: T): Promise<Answer<T>> => {
    const answer = await transport.answer({ method: 'GET', path: pathOf(key), query, call }, [404]);
    const index = Number(answer.headers['x-consul-index'] ?? 0);
    if (answer.status === 404) return { value: none, index };
    return { value: JSON.parse(flagsAsTexts(answer.text)) as T, index };
  };
  const change = async (
    method: 'PUT' | 'DELETE',
    key: string,
    query: Query,
    call: CallOptions,
    body?: string | Uint8Array,
  ): Promise<boolean> =>
    (await transport.json<boolean>({ method, path: pathOf(key), query, call, ...(body === undefined ? {} : { body }) }))
      .value;
  return {
    async get(key, call = {}) {
      const { value, index } = await read<readonly KvEntry[]>(key, {}, call, []);
      return { value: value[0], index };
    },
    list: (prefix, call = {}) => read<readonly KvEntry[]>(prefix, { recurse: true }, call, []),
    keys: (prefix, separator = '', call = {}) => read<readonly string[]>(prefix, { keys: true, separator }, call, []),
    put: (key, value, { flags, cas, acquire, release } = {}, call = {}) =>
      change('PUT', key, { flags, cas, acquire, release }, call, value),
    delete: (key, cas, call = {}) => change('DELETE', key, { cas }, call),
    async deleteTree(prefix, call = {}) {
      await change('DELETE', prefix, { recurse: true }, call);
    },
  };
}
