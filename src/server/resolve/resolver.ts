import type { QueryEntity } from '../../domain/queries/definition.ts';
import { queryPlan, servicePlan } from '../../domain/queries/plan.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Service } from '../../lib/service.ts';
import type { ServiceTargets } from '../../model/discovery-chain.ts';
import type { ExecuteArgs, QueryExecution, QueryForecast } from '../../model/prepared-query.ts';
import type { ResolveArgs, ResolvedUpstream } from '../../model/upstream.ts';
import { WatchPool } from '../../rpc/subscribe/watch-pool.ts';
import { type Logger, noMetrics } from '../../telemetry/types.ts';
import { type ExecuteOptions, executeQuery } from './execute-query.ts';
import { followQuery } from './follow-query.ts';
import { forecastQuery } from './forecast-query.ts';
import { type Mesh, PATIENCE_MS } from './mesh.ts';
import type { PlanFollowerDeps } from './plan-follower.ts';
import { RepeatedQuestions } from './repeated-questions.ts';
import { resolveUpstream, type UpstreamPlan } from './resolve-upstream.ts';

/** The prepared queries of this datacenter. */
export interface StoredQueries {
  /** The query as stored now, with its template filled in. Throws `not_found`. */
  find(args: { readonly query: string; readonly agent?: NonNullable<ExecuteArgs['agent']> }): QueryEntity;
  /** Touched by every change of any query. */
  readonly topics: readonly string[];
}

export interface ResolverDeps {
  readonly queries: StoredQueries;
  readonly mesh: Mesh;
  /** Calls `listener` after every change of one of `topics`; returns what ends it. */
  readonly subscribe: PlanFollowerDeps['subscribe'];
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

export interface Resolver {
  /** Asks datacenters in turn until one has healthy instances. Throws `not_found`. */
  execute(args: ExecuteArgs, options: ExecuteOptions): Promise<QueryExecution>;
  /** Who serves now, and who would if a datacenter were lost. */
  forecast(args: ExecuteArgs, options: ExecuteOptions): Promise<QueryForecast>;
  /** As {@link execute}, again after every change. */
  follow(args: ExecuteArgs, options: ExecuteOptions): AsyncIterable<QueryExecution>;
  /** Where a sidecar's upstream leads, now and after every change. Throws `not_found` for a query. */
  upstream(args: ResolveArgs, options: ExecuteOptions): AsyncIterable<ResolvedUpstream>;
  /** Stopping it ends all subscriptions. */
  readonly service: Service;
}

/** Finds instances of queries and upstreams: here or, when none is healthy here, in other datacenters. */
export function createResolver(deps: ResolverDeps): Resolver {
  const { queries, mesh, clock, log } = deps;
  const { contract } = mesh;
  const pool = new WatchPool({ contract, clock, log, metrics: noMetrics, answerWithinMs: PATIENCE_MS });
  const repeated = new RepeatedQuestions(pool, clock);
  const executeDeps = { ...deps, repeated };
  const followDeps = { ...deps, pool };

  const upstreamPlan = ({ type, name, datacenter, agent }: ResolveArgs, token: string): UpstreamPlan => {
    if (type === 'service') {
      const found = deps.serviceTargets(name, datacenter ?? mesh.datacenter);
      const { targets, connectTimeoutMs, topics, requests } = found;
      const plan = { steps: servicePlan(targets), token, connectTimeoutMs, topics };
      if (requests === undefined) return plan;
      return { ...plan, requests: { chain: requests.chain, steps: servicePlan(requests.targets) } };
    }
    const query = queries.find({ query: name, ...(agent === undefined ? {} : { agent }) });
    return { steps: queryPlan(query, mesh), token: query.Token || token, topics: queries.topics };
  };

  return {
    execute: async (args, options) => executeQuery(executeDeps, queries.find(args), args, options),
    forecast: async (args, options) => forecastQuery(executeDeps, queries.find(args), args, options),
    follow: (args, options) =>
      followQuery({ ...followDeps, query: () => queries.find(args), topics: queries.topics }, args, options),
    upstream: (args, { signal, token = '' }) => resolveUpstream(followDeps, () => upstreamPlan(args, token), signal),
    service: {
      name: 'resolver',
      start: async () => undefined,
      async stop() {
        repeated.close();
        await pool.stop();
      },
    },
  };
}
