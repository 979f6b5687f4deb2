import type { CatalogNode, HealthCheck, NodeService } from './catalog.ts';

/** A prepared query as Consul writes it. Lists and maps that were not given are null. */
export interface PreparedQuery {
  readonly ID: string;
  /** '' for a query that is found by its ID only, and for a template that takes every name. */
  readonly Name: string;
  readonly Session: string;
  /** Executes the query in place of the caller's token; shown only to those who may write tokens. */
  readonly Token: string;
  readonly Template: QueryTemplate;
  readonly Service: QueryService;
  readonly DNS: { readonly TTL: string };
  readonly CreateIndex: number;
  readonly ModifyIndex: number;
}

/** Stands for a token that the reader may not see. */
export const HIDDEN_TOKEN = '<hidden>';

export interface QueryTemplate {
  /** '' for a query that is none, or `name_prefix_match`. */
  readonly Type: string;
  readonly Regexp: string;
  readonly RemoveEmptyTags: boolean;
}

export interface QueryService {
  readonly Service: string;
  readonly Failover: QueryFailover;
  /** Leaves out instances with warnings; critical ones never serve. */
  readonly OnlyPassing: boolean;
  /** Checks that don't count. */
  readonly IgnoreCheckIDs: readonly string[] | null;
  /**
   * Node whose neighbours come first; `_agent` is the one of the agent that asks, `_ip` the one at the caller's
   * address.
   */
  readonly Near: string;
  /** All must be carried; with `!` in front, none may be. */
  readonly Tags: readonly string[] | null;
  readonly NodeMeta: Readonly<Record<string, string>> | null;
  readonly ServiceMeta: Readonly<Record<string, string>> | null;
  /** Instances that accept mesh connections for the service. */
  readonly Connect: boolean;
}

export interface QueryFailover {
  /** So many of the nearest other datacenters are tried first. */
  readonly NearestN: number;
  /** Then these, in order. */
  readonly Datacenters: readonly string[] | null;
  /** In place of both: what to try, in order. */
  readonly Targets?: readonly QueryTarget[];
}

/** What is left out is as in the query itself. */
export interface QueryTarget {
  readonly Service?: string;
  readonly Tags?: readonly string[];
  readonly Datacenter?: string;
}

/** What callers may send; see {@link PreparedQuery}. */
export interface QueryRequest {
  readonly ID?: string;
  readonly Name?: string;
  readonly Session?: string;
  readonly Token?: string;
  readonly Template?: Partial<QueryTemplate>;
  readonly Service?: Partial<Omit<QueryService, 'Failover'>> & { readonly Failover?: Partial<QueryFailover> };
  readonly DNS?: { readonly TTL?: string };
}

/** Which instances of one datacenter serve a query. */
export interface QuerySelection {
  readonly service: string;
  readonly connect?: boolean;
  readonly onlyPassing?: boolean;
  readonly ignoreCheckIds?: readonly string[];
  readonly tags?: readonly string[];
  readonly nodeMeta?: Readonly<Record<string, string>>;
  readonly serviceMeta?: Readonly<Record<string, string>>;
  /** In the filter grammar, over an instance. */
  readonly filter?: string;
}

/** An instance as queries answer it: what was not given is null. */
export interface QueryInstance {
  readonly Node: CatalogNode;
  readonly Service: NodeService;
  readonly Checks: readonly HealthCheck[] | null;
}

export interface ExecuteArgs {
  /** ID or name. */
  readonly query: string;
  /** At most so many instances; 0 or absent is all. */
  readonly limit?: number;
  /** As if the query said `Connect`. */
  readonly connect?: boolean;
  /** In place of the query's own `Near`. */
  readonly near?: string;
  /** Where the agent that asks is. */
  readonly agent?: { readonly node: string; readonly segment: string };
  /** The caller's IP address, for `_ip`. */
  readonly source?: string;
}

export interface QueryExecution {
  readonly Service: string;
  readonly Nodes: readonly QueryInstance[];
  readonly DNS: { readonly TTL: string };
  /** Where the instances are. */
  readonly Datacenter: string;
  /**
   * The node by whose distance they are sorted; shown to those who follow, absent when they are in no order. `_ip`:
   * they are in no order yet, since where the caller is was not said.
   */
  readonly Near?: string;
  /** How many other targets were tried. */
  readonly Failovers: number;
  readonly Index: number;
  readonly LastContact: number;
  readonly KnownLeader: boolean;
  readonly ConsistencyLevel: string;
  readonly NotModified: boolean;
}

/** Who serves. */
export interface QueryOutcome {
  readonly Service: string;
  readonly Datacenter: string;
  readonly Instances: number;
  readonly Failovers: number;
}

/** Null where no instance serves. */
export interface QueryForecast {
  readonly Name: string;
  readonly Service: string;
  readonly Now: QueryOutcome | null;
  readonly Lost: readonly { readonly Datacenter: string; readonly Outcome: QueryOutcome | null }[];
}

export interface QueryExplanation {
  /** With its template filled in. */
  readonly Query: PreparedQuery;
  readonly Index: number;
  readonly LastContact: number;
  readonly KnownLeader: boolean;
  readonly ConsistencyLevel: string;
  readonly NotModified: boolean;
}
