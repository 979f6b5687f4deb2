import { IsthmusError } from '../../lib/errors.ts';
import { isUuid, newUuid } from '../../lib/ids.ts';
import type { ServiceInstance } from '../../model/catalog.ts';
import type {
  PreparedQuery,
  QueryExplanation,
  QueryInstance,
  QueryRequest,
  QuerySelection,
} from '../../model/prepared-query.ts';
import type { Read } from '../../store/read.ts';
import type { Store, Tx } from '../../store/store.ts';
import type { Stored } from '../../store/table.ts';
import { complete, type QueryEntity, refuseSession, rejected, validate } from './definition.ts';
import { select } from './select.ts';
import { type CompiledTemplate, compileTemplate, isTemplate } from './template.ts';

export interface QueriesDeps {
  readonly store: Store;
  /** Instances of a service as stored, with all their checks. */
  readonly instances: Read<{ readonly service: string; readonly connect?: boolean }, readonly ServiceInstance[]>;
}

interface ExplainArgs {
  readonly query: string;
  readonly agent?: { readonly node: string; readonly segment: string };
}

export interface QueryReads {
  readonly 'queries.list': Read<Record<never, never>, readonly PreparedQuery[]>;
  readonly 'queries.get': Read<{ readonly id: string }, readonly PreparedQuery[]>;
  readonly 'queries.explain': Read<ExplainArgs, QueryExplanation>;
  readonly 'queries.candidates': Read<QuerySelection, readonly QueryInstance[]>;
}

export interface QueryWrites {
  readonly 'queries.create': Queries['create'];
  readonly 'queries.update': Queries['update'];
  readonly 'queries.delete': Queries['delete'];
}

export interface Queries {
  readonly reads: QueryReads;
  readonly writes: QueryWrites;
  create(args: { readonly query: QueryRequest }): Promise<{ readonly ID: string }>;
  update(args: { readonly id: string; readonly query: QueryRequest }): Promise<null>;
  delete(args: { readonly id: string }): Promise<null>;
  /** The query as stored now, with its template filled in. Throws `not_found`. */
  find(args: ExplainArgs): QueryEntity;
  /** Touched by every change of any query. */
  readonly topics: readonly string[];
}

/** A name leads to one query; the row keeps two that are written at once from both taking it. */
interface NameEntity {
  readonly Name: string;
  readonly ID: string;
}

const TABLE = 'prepared-queries';
const fold = (name: string): string => name.toLowerCase();

/** Prepared queries as they are stored: what a name or a template stands for, and the instances of this datacenter. */
export function createQueries(deps: QueriesDeps): Queries {
  const { store, instances } = deps;
  const table = store.table<QueryEntity>({
    name: TABLE,
    key: (query) => query.ID,
    indexes: { template: (query) => (isTemplate(query) ? [fold(query.Name)] : []) },
  });
  const names = store.table<NameEntity>({ name: 'query-names', key: ({ Name }) => encodeURIComponent(Name) });
  const nameKey = (query: QueryEntity): string => encodeURIComponent(fold(query.Name));
  const compiled = new WeakMap<QueryEntity, CompiledTemplate>();

  const renderer = (query: QueryEntity): CompiledTemplate => {
    let template = compiled.get(query);
    if (template === undefined) {
      template = compileTemplate(query);
      compiled.set(query, template);
    }
    return template;
  };

  const put = (tx: Tx, query: QueryEntity, before: QueryEntity | undefined): void => {
    if (isTemplate(query)) compileTemplate(query);
    const named = query.Name !== '' || isTemplate(query);
    const holder = named ? tx.get(names, nameKey(query)) : undefined;
    if (holder !== undefined && holder.ID !== query.ID)
      throw rejected(
        query.Name === ''
          ? 'a query template with an empty name already exists'
          : `name '${query.Name}' aliases an existing query name`,
      );
    if (isUuid(query.Name) && tx.get(table, fold(query.Name)) !== undefined)
      throw rejected(`name '${query.Name}' aliases an existing query ID`);
    refuseSession(query);
    if (before !== undefined) tx.delete(names, nameKey(before));
    if (named) tx.put(names, { Name: fold(query.Name), ID: query.ID });
    tx.put(table, query);
  };

  /** By ID, by its whole name, or the template with the longest name that it begins with. */
  const find = (nameOrId: string): Stored<QueryEntity> | undefined => {
    const byId = isUuid(nameOrId) ? table.get(nameOrId.toLowerCase()) : undefined;
    if (byId !== undefined) {
      if (isTemplate(byId.value)) throw rejected('prepared query templates can only be resolved up by name, not by ID');
      return byId;
    }
    const name = fold(nameOrId);
    const named = name === '' ? undefined : names.get(encodeURIComponent(name));
    if (named !== undefined) return table.get(named.value.ID);
    for (let length = name.length; length >= 0; length -= 1) {
      const [template] = table.by('template', name.slice(0, length));
      if (template !== undefined) return template;
    }
    return undefined;
  };

  const resolve = ({ query: nameOrId, agent }: ExplainArgs): { row: Stored<QueryEntity>; query: QueryEntity } => {
    const row = find(nameOrId);
    if (row === undefined) throw notFound();
    const query = isTemplate(row.value) ? renderer(row.value)(nameOrId, agent?.segment ?? '') : row.value;
    return { row, query };
  };

  const shown = (row: Stored<QueryEntity>, query = row.value): PreparedQuery => ({
    ...query,
    CreateIndex: row.createRevision,
    ModifyIndex: row.modRevision,
  });

  const topics = [TABLE];
  const ofTable = (): readonly string[] => topics;

  const queries: Queries = {
    reads: {
      'queries.list': { topics: ofTable, produce: () => table.list().map((row) => shown(row)) },
      'queries.get': {
        topics: ofTable,
        produce({ id }) {
          const row = table.get(id.toLowerCase());
          if (row === undefined) throw notFound();
          return [shown(row)];
        },
      },
      'queries.explain': {
        topics: ofTable,
        produce(args) {
          const { row, query } = resolve(args);
          return { Query: shown(row, query), ...META };
        },
      },
      'queries.candidates': {
        topics: (selection) => instances.topics(instancesArgs(selection)),
        produce: (selection) => select(instances.produce(instancesArgs(selection)), selection),
      },
    },
    async create({ query: request }) {
      if (request.ID !== undefined && request.ID !== '')
        throw rejected('ID must be empty when creating a new prepared query');
      const query = complete(newUuid(), request);
      validate(query);
      await store.transact((tx) => put(tx, query, undefined));
      return { ID: query.ID };
    },
    async update({ id, query: request }) {
      await store.transact((tx) => {
        const before = existing(tx, id);
        const query = complete(before.ID, request);
        validate(query);
        put(tx, query, before);
      });
      return null;
    },
    async delete({ id }) {
      await store.transact((tx) => {
        const before = existing(tx, id);
        tx.delete(table, before.ID);
        if (before.Name !== '' || isTemplate(before)) tx.delete(names, nameKey(before));
      });
      return null;
    },
    find: (args) => resolve(args).query,
    topics,
    writes: {
      'queries.create': (args) => queries.create(args),
      'queries.update': (args) => queries.update(args),
      'queries.delete': (args) => queries.delete(args),
    },
  };
  return queries;

  function existing(tx: Tx, id: string): QueryEntity {
    const query = tx.get(table, id.toLowerCase());
    if (query === undefined) throw rejected(`Cannot modify non-existent prepared query: '${id}'`);
    return query;
  }
}

const META = { Index: 0, LastContact: 0, KnownLeader: true, ConsistencyLevel: 'leader', NotModified: false };

function notFound(): IsthmusError {
  return new IsthmusError('not_found', 'Query not found');
}

function instancesArgs({ service, connect }: QuerySelection): { readonly service: string; readonly connect?: boolean } {
  return connect === true ? { service, connect } : { service };
}
