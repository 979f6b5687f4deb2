import { IsthmusError } from '../../../lib/errors.ts';
import type { KvEntry, KvOperation } from '../../../model/kv.ts';
import { withFlags } from '../../../model/kv-json.ts';
import type { ReadResult } from '../../../rpc/contract/contract.ts';
import { parseUnsigned } from '../consistency.ts';
import type { Query } from '../query.ts';
import { type ReadRouteSpec, readRoute } from '../read-route.ts';
import type { ApiRequest, ApiResponse, Route } from '../route.ts';
import { writeRoute } from '../write-route.ts';
import type { CatalogRouteDeps } from './catalog.ts';
import { required } from './list-args.ts';

export interface KvLimits {
  /** Bytes of a value. */
  readonly maxValueBytes: number;
  /** Bytes of a transaction. */
  readonly maxTxnBytes: number;
}

export interface KvRouteDeps extends CatalogRouteDeps {
  readonly kvLimits: KvLimits;
}

const PATH = '/v1/kv/*key';
const MISSING_KEY = 'Missing key name';
const NOT_FOUND: ApiResponse = { status: 404 };

/** /v1/kv */
export function kvRoutes(deps: KvRouteDeps): readonly Route[] {
  const { maxValueBytes } = deps.kvLimits;
  return [
    readKeys(deps),
    {
      ...writeRoute(deps, {
        method: 'PUT',
        path: PATH,
        about: 'Set a key to the body; false when what was expected of it does not hold.',
        acl: 'key:write',
        write: 'kv.apply',
        query: [
          { name: 'flags', about: 'Number of 64 bits that is kept with the value.' },
          { name: 'cas', about: 'Only when the key has this ModifyIndex; 0: only when it does not exist.' },
          { name: 'acquire', about: 'Take the lock on the key for this session.' },
          { name: 'release', about: 'Let go of the lock that this session holds.' },
        ],
        args: putArgs,
      }),
      rest: 'bytes',
      bodyLimit: {
        maxBytes: maxValueBytes,
        refuse: (bytes) =>
          new IsthmusError(
            'too_large',
            `Request body(${bytes} bytes) too large, max size: ${maxValueBytes} bytes. See ` +
              'https://www.consul.io/docs/agent/options.html#kv_max_value_size.',
          ),
      },
    },
    {
      ...writeRoute(deps, {
        method: 'DELETE',
        path: PATH,
        about: 'Delete a key, or all keys that begin with it.',
        acl: 'key:write',
        write: 'kv.apply',
        query: [
          { name: 'recurse', about: 'All keys that begin with it.' },
          { name: 'cas', about: 'Only when the key has this ModifyIndex.' },
        ],
        args: deleteArgs,
      }),
      rest: 'bytes',
    },
  ];
}

/** One path for three reads: one entry, all that begin with the key, or the names of those. */
function readKeys(deps: KvRouteDeps): Route {
  const common = { path: PATH, acl: 'key:read', meta: 'index' } as const;
  const get: ReadRouteSpec<'kv.get'> = {
    ...common,
    about: 'The value of a key, or of all keys that begin with it.',
    read: 'kv.get',
    query: [
      { name: 'raw', about: 'The value alone, as it was written.' },
      { name: 'recurse', about: 'All entries whose keys begin with it.' },
      { name: 'keys', about: 'Only the names of the keys that begin with it.' },
      { name: 'separator', about: 'With keys: names end at the first separator after the prefix, each listed once.' },
      { name: 'seperator', about: 'Older spelling of separator.' },
    ],
    args: (params) => ({ key: required(params.key, MISSING_KEY) }),
    render(result, query) {
      const [entry] = result.value;
      if (entry === undefined) return NOT_FOUND;
      return query.has('raw') ? rawValue(entry) : entries(result, query);
    },
  };
  const list: ReadRouteSpec<'kv.list'> = {
    ...common,
    about: '',
    read: 'kv.list',
    args: (params) => ({ prefix: params.key ?? '' }),
    render: (result, query) => (result.value.length === 0 ? NOT_FOUND : entries(result, query)),
  };
  const keys: ReadRouteSpec<'kv.keys'> = {
    ...common,
    about: '',
    read: 'kv.keys',
    args(params, query) {
      const separator = query.get('separator') ?? query.text('seperator'); // Consul takes its old misspelling too
      return { prefix: params.key ?? '', ...(separator === '' ? undefined : { separator }) };
    },
    render: () => undefined,
  };
  const routes = {
    get: readRoute(deps, get),
    list: readRoute(deps, list),
    // Below a prefix nothing is "not found"; at the root it is an empty list.
    keys: readRoute(deps, keys),
    keysBelow: readRoute(deps, {
      ...keys,
      render: (result) => (result.value.length === 0 ? NOT_FOUND : undefined),
    }),
  };
  const pick = ({ key = '' }: Readonly<Record<string, string>>, query: Query): Route => {
    if (query.has('keys')) return key === '' ? routes.keys : routes.keysBelow;
    return query.has('recurse') ? routes.list : routes.get;
  };
  return {
    ...routes.get,
    rest: 'bytes',
    prepare: (params, query) => (pick(params, query).prepare as NonNullable<Route['prepare']>)(params, query),
    handle: (request) => pick(request.params, request.query).handle(request),
  };
}

function entries(result: ReadResult<readonly KvEntry[]>, query: Query): ApiResponse | undefined {
  const bytes = withFlags(result.value, query.has('pretty'));
  return bytes === undefined ? undefined : { bytes };
}

/** As Consul: no browser may take the value for anything else than text. */
function rawValue({ Value }: KvEntry): ApiResponse {
  return {
    bytes: Buffer.from(Value ?? '', 'base64'),
    contentType: 'text/plain',
    headers: { 'X-Content-Type-Options': 'nosniff', 'Content-Security-Policy': 'sandbox' },
  };
}

function putArgs({ params, query, body }: ApiRequest): KvOperation {
  const Key = required(params.key, MISSING_KEY);
  refuseConflicts(query, ['cas', 'acquire', 'release']);
  const flags = query.get('flags');
  const cas = query.get('cas');
  const acquire = query.get('acquire');
  const release = query.get('release');
  return {
    Key,
    Value: body.toString('base64'),
    ...(flags === undefined ? undefined : { Flags: flagsOf(flags) }),
    ...(cas !== undefined
      ? { Verb: 'cas', Index: unsigned(cas) }
      : acquire !== undefined
        ? { Verb: 'lock', Session: acquire }
        : release !== undefined
          ? { Verb: 'unlock', Session: release }
          : { Verb: 'set' }),
  };
}

function deleteArgs({ params, query }: ApiRequest): KvOperation {
  refuseConflicts(query, ['recurse', 'cas']);
  if (query.has('recurse')) return { Verb: 'delete-tree', Key: params.key ?? '' };
  const Key = required(params.key, MISSING_KEY);
  const cas = query.get('cas');
  return cas === undefined ? { Verb: 'delete', Key } : { Verb: 'delete-cas', Key, Index: unsigned(cas) };
}

function refuseConflicts(query: Query, names: readonly string[]): void {
  if (names.filter((name) => query.has(name)).length < 2) return;
  const shown = [...query.entries()]
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
    .map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`);
  throw new IsthmusError('invalid_argument', `Conflicting flags: ${shown.join('&')}`);
}

function unsigned(text: string): number {
  const value = parseUnsigned(text);
  if (value === undefined) throw notUnsigned(text);
  return value;
}

/** All 64 bits: a number as far as those are exact, else its digits. */
function flagsOf(text: string): number | string {
  const value = unsigned(text);
  return value < Number.MAX_SAFE_INTEGER ? value : BigInt(text).toString();
}

function notUnsigned(text: string): IsthmusError {
  const why = /^[0-9]+$/.test(text) ? 'value out of range' : 'invalid syntax';
  return new IsthmusError('rejected', `strconv.ParseUint: parsing ${JSON.stringify(text)}: ${why}`);
}
