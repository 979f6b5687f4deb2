import type { Clock } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { isUuid, newUuid } from '../../lib/ids.ts';
import type { Service } from '../../lib/service.ts';
import type { ServiceInstance } from '../../model/catalog.ts';
import type { ServiceTargets } from '../../model/discovery-chain.ts';
import type {
  ExecuteArgs,
  PreparedQuery,
  QueryExecution,
  QueryExplanation,
  QueryForecast,
  QueryInstance,
  QueryRequest,
  QuerySelection,
} from '../../model/prepared-query.ts';
import type { ResolveArgs, ResolvedUpstream } from '../../model/upstream.ts';
import type { Read } from '../../store/read.ts';
import type { Store, Tx } from '../../store/store.ts';
import type { Stored } from '../../store/table.ts';
import type { Logger } from '../../telemetry/types.ts';
import { AskedPlaces } from './asked-places.ts';
import { complete, type QueryEntity, refuseSession, rejected, validate } from './definition.ts';
import { execute } from './execute.ts';
import { followExecution } from './follow.ts';
import { followUpstream, type UpstreamPlan } from './follow-upstream.ts';
import { forecast } from './forecast.ts';
import type { AskOptions, Mesh } from './mesh.ts';
import { Places } from './places.ts';
import { queryPlan, servicePlan } from './plan.ts';
import { select } from './select.ts';
import { type CompiledTemplate, compileTemplate, isTemplate } from './template.ts';

export interface QueriesDeps {
  readonly store: Store;
  /** Instances of a service as stored, with all their checks. */
  readonly instances: Read<{ readonly service: string; readonly connect?: boolean }, readonly ServiceInstance[]>;
  readonly mesh: Mesh;
  /** Where connections to a service go from a datacenter; `topics` are touched when that may have changed. */
  readonly serviceTargets: (
    service: string,
    datacenter: string,
  ) => ServiceTargets & { readonly topics: readonly string[] };
  /** Between two nodes of this datacenter, in any unit; Infinity when it is not known. */
  readonly distance: (nodeA: string, nodeB: string) => number;
  /** The node of this datacenter that has the address. */
  readonly nodeAt: (address: string) => string | undefined;
  readonly clock: Clock;
  /** Chance in [0, 1). */
  readonly random: () => number;
  readonly log: Logger;
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

export interface Queries {
  readonly reads: QueryReads;
  create(args: { readonly query: QueryRequest }): Promise<{ readonly ID: string }>;
  update(args: { readonly id: string; readonly query: QueryRequest }): Promise<null>;
  delete(args: { readonly id: string }): Promise<null>;
  /** Asks datacenters in turn until one has healthy instances. Throws `not_found`. */
  execute(args: ExecuteArgs, options: AskOptions): Promise<QueryExecution>;
  /** Who serves now, and who would if a datacenter were lost. */
  forecast(args: ExecuteArgs, options: AskOptions): Promise<QueryForecast>;
  /** As {@link execute}, again after every change. */
  follow(args: ExecuteArgs, options: AskOptions): AsyncIterable<QueryExecution>;
  /** Where a sidecar's upstream leads, now and after every change. Throws `not_found` for a query. */
  followUpstream(args: ResolveArgs, options: AskOptions): AsyncIterable<ResolvedUpstream>;
  /** Stopping it lets go what is followed for those who ask. */
  readonly service: Service;
}

/** A name leads to one query; the row keeps two that are written at once from both taking it. */
interface NameEntity {
  readonly Name: string;
  readonly ID: string;
}

const TABLE = 'prepared-queries';
const fold = (name: string): string => name.toLowerCase();

/** Prepared queries: what a name leads to, in this datacenter or, when nothing is healthy here, in others. */
export function createQueries(deps: QueriesDeps): Queries {
  const { store, mesh, distance, nodeAt, clock, random, log } = deps;
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

  const places = new Places({ mesh, clock, log });
  const asked = new AskedPlaces(places, clock);
  const executeDeps = { mesh, distance, nodeAt, asked, clock, random, log };
  const followDeps = {
    mesh,
    distance,
    nodeAt,
    places,
    subscribe: (of: readonly string[], listener: () => void) => store.topics.subscribe(of, listener),
  };
  const topics = (): readonly string[] => [TABLE];

  return {
    reads: {
      'queries.list': { topics, produce: () => table.list().map((row) => shown(row)) },
      'queries.get': {
        topics,
        produce({ id }) {
          const row = table.get(id.toLowerCase());
          if (row === undefined) throw notFound();
          return [shown(row)];
        },
      },
      'queries.explain': {
        topics,
        produce(args) {
          const { row, query } = resolve(args);
          return { Query: shown(row, query), ...META };
        },
      },
      'queries.candidates': {
        topics: (selection) => deps.instances.topics(instancesArgs(selection)),
        produce: (selection) => select(deps.instances.produce(instancesArgs(selection)), selection),
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
    execute: async (args, options) => execute(executeDeps, resolve(args).query, args, options),
    forecast: async (args, options) => forecast(executeDeps, resolve(args).query, args, options),
    follow: (args, options) =>
      followExecution({ ...followDeps, query: () => resolve(args).query, topics: topics() }, args, options),
    followUpstream: (args, { signal, token = '' }) =>
      followUpstream(followDeps, () => upstreamPlan(args, token), signal),
    service: {
      name: 'queries',
      start: async () => undefined,
      async stop() {
        asked.close();
        await places.settled();
      },
    },
  };

  function upstreamPlan({ type, name, datacenter, agent }: ResolveArgs, token: string): UpstreamPlan {
    if (type === 'service') {
      const found = deps.serviceTargets(name, datacenter ?? mesh.datacenter);
      const { connectTimeoutMs } = found;
      return { steps: servicePlan(found.targets), token, connectTimeoutMs, topics: found.topics };
    }
    const { query } = resolve({ query: name, ...(agent === undefined ? {} : { agent }) });
    return { steps: queryPlan(query, mesh), token: query.Token || token, topics: topics() };
  }

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
