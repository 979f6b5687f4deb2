import type {
  PreparedQuery,
  QueryExecution,
  QueryExplanation,
  QueryForecast,
  QueryRequest,
} from '../model/prepared-query.ts';
import type { CallOptions } from './options.ts';
import type { Transport } from './transport.ts';

export interface ExecuteOptions {
  readonly limit?: number;
  readonly near?: string;
  /** Instances that accept mesh connections. */
  readonly connect?: boolean;
}

/** Prepared queries. `query` is an ID or a name. */
export interface QueriesApi {
  list(call?: CallOptions): Promise<readonly PreparedQuery[]>;
  /** Rejects with `not_found`. */
  get(id: string, call?: CallOptions): Promise<PreparedQuery>;
  /** Resolves with the new query's ID. */
  create(query: QueryRequest, call?: CallOptions): Promise<string>;
  update(id: string, query: QueryRequest, call?: CallOptions): Promise<void>;
  delete(id: string, call?: CallOptions): Promise<void>;
  execute(query: string, options?: ExecuteOptions, call?: CallOptions): Promise<QueryExecution>;
  explain(query: string, call?: CallOptions): Promise<PreparedQuery>;
  /** Who would serve it if a datacenter were lost. */
  forecast(query: string, call?: CallOptions): Promise<QueryForecast>;
}

export function createQueriesApi(transport: Transport): QueriesApi {
  const path = (query: string): string => `/v1/query/${encodeURIComponent(query)}`;
  const get = async <T>(at: string, call: CallOptions = {}, query = {}): Promise<T> =>
    (await transport.json<T>({ method: 'GET', path: at, query, call })).value;
  return {
    list: (call) => get('/v1/query', call),
    get: async (id, call) => (await get<readonly [PreparedQuery]>(path(id), call))[0],
    async create(query, call = {}) {
      const { value } = await transport.json<{ readonly ID: string }>({
        method: 'POST',
        path: '/v1/query',
        body: query,
        call,
      });
      return value.ID;
    },
    async update(id, query, call = {}) {
      await transport.text({ method: 'PUT', path: path(id), body: query, call });
    },
    async delete(id, call = {}) {
      await transport.text({ method: 'DELETE', path: path(id), call });
    },
    execute: (query, { limit, near, connect } = {}, call) =>
      get(`${path(query)}/execute`, call, { limit, near, ...(connect === true ? { connect: 'true' } : {}) }),
    explain: async (query, call) => (await get<QueryExplanation>(`${path(query)}/explain`, call)).Query,
    forecast: (query, call) => get(`/v1/internal/query/${encodeURIComponent(query)}/forecast`, call),
  };
}
