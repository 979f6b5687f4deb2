import {
  type ExecuteArgs,
  HIDDEN_TOKEN,
  type PreparedQuery,
  type QueryExecution,
  type QueryExplanation,
  type QueryForecast,
  type QueryInstance,
  type QueryRequest,
  type QuerySelection,
} from '../../../model/prepared-query.ts';
import type { Rights } from '../../../model/rights.ts';
import type { ResolveArgs, ResolvedUpstream } from '../../../model/upstream.ts';
import { type NoArgs, OWN_DATA, read, type StoredFacts, write } from './method.ts';
import { instances, kept, OPEN, seesService } from './rights.ts';
import { EVERYONE, SERVERS, THIS_DATACENTER } from './roles.ts';

/** Unnamed queries are known to those who know their ID. */
const seesQuery = (rights: Rights, { Name }: { readonly Name: string }): boolean =>
  Name === '' ? rights.may('acl', '', 'write') : rights.may('query', Name, 'read');

/** As the reader may see a query: its token is a secret. */
function shownQuery<Q extends { readonly Token?: string }>(rights: Rights, query: Q): Q {
  return !query.Token || rights.may('acl', '', 'write') ? query : { ...query, Token: HIDDEN_TOKEN };
}

function shownQueries(rights: Rights, queries: readonly PreparedQuery[]): readonly PreparedQuery[] {
  return queries.some((query) => shownQuery(rights, query) !== query)
    ? queries.map((query) => shownQuery(rights, query))
    : queries;
}

/** A query without a name is protected by its ID. */
function mayWriteQuery(rights: Rights, { Name = '', Template }: QueryRequest): boolean {
  return (Name === '' && (Template?.Type ?? '') === '') || rights.may('query', Name, 'write');
}

function mayWriteStored(rights: Rights, id: string, facts: StoredFacts): boolean {
  const name = facts.queryName(id);
  return name === undefined || name === '' || rights.may('query', name, 'write');
}

export const queryReads = {
  'queries.list': read<NoArgs, readonly PreparedQuery[]>({
    ...OWN_DATA,
    needs: {},
    callers: EVERYONE,
    rights: {
      show(rights, queries) {
        const seen = kept(queries, (query) => seesQuery(rights, query));
        return shownQueries(rights, seen);
      },
    },
  }),
  'queries.get': read<{ readonly id: string }, readonly PreparedQuery[]>({
    ...OWN_DATA,
    needs: { id: 'text' },
    callers: EVERYONE,
    rights: {
      show: (rights, queries) =>
        queries.every((query) => query.Name === '' || seesQuery(rights, query))
          ? shownQueries(rights, queries)
          : undefined,
    },
  }),
  /** The query that an ID or a name leads to, with its template filled in. */
  'queries.explain': read<Pick<ExecuteArgs, 'query' | 'agent'>, QueryExplanation>({
    ...OWN_DATA,
    needs: { query: 'text' },
    callers: EVERYONE,
    rights: {
      show(rights, explanation) {
        if (!seesQuery(rights, explanation.Query)) return undefined;
        const Query = shownQuery(rights, explanation.Query);
        return Query === explanation.Query ? explanation : { ...explanation, Query };
      },
    },
  }),
  /**
   * Healthy instances in the answering datacenter, failing over to others; watched, it follows all of them. Each
   * datacenter shows of its instances what the query's own token, else the caller's, may see.
   */
  'queries.execute': read<ExecuteArgs, QueryExecution>({
    ...OWN_DATA,
    needs: { query: 'text' },
    callers: EVERYONE,
    rights: OPEN,
  }),
  /** Who would serve if a datacenter were lost. */
  'queries.forecast': read<ExecuteArgs, QueryForecast>({
    ...OWN_DATA,
    needs: { query: 'text' },
    callers: EVERYONE,
    rights: { show: (rights, forecast) => (seesQuery(rights, forecast) ? forecast : undefined) },
  }),
  /** The part of a query that each datacenter answers for itself. */
  'queries.candidates': read<QuerySelection, readonly QueryInstance[]>({
    ...OWN_DATA,
    needs: { service: 'text' },
    callers: SERVERS,
    rights: instances(),
    refusedOnceOld: true,
  }),
  /** Where a sidecar's upstream leads. Watched, never read. */
  'upstreams.resolve': read<ResolveArgs, ResolvedUpstream>({
    ...OWN_DATA,
    needs: { type: 'text', name: 'text' },
    callers: THIS_DATACENTER,
    rights: { allow: (rights, { type, name }) => type !== 'service' || seesService(rights, name) },
  }),
};

const HERE = { decided: 'here', leader: false, repeatable: false, arrivesIn: undefined, callers: EVERYONE } as const;

export const queryWrites = {
  'queries.create': write<{ readonly query: QueryRequest }, { readonly ID: string }>({
    ...HERE,
    needs: { query: 'object' },
    audit: ['query.ID', 'query.Name'],
    rights: (rights, { query }) => mayWriteQuery(rights, query),
  }),
  'queries.update': write<{ readonly id: string; readonly query: QueryRequest }, null>({
    ...HERE,
    needs: { id: 'text', query: 'object' },
    audit: ['id', 'query.Name'],
    rights: (rights, { id, query }, facts) => mayWriteQuery(rights, query) && mayWriteStored(rights, id, facts),
  }),
  'queries.delete': write<{ readonly id: string }, null>({
    ...HERE,
    needs: { id: 'text' },
    audit: ['id'],
    rights: (rights, { id }, facts) => mayWriteStored(rights, id, facts),
  }),
};
