import type { DiscoveryChain } from './discovery-chain.ts';
import type { QueryInstance } from './prepared-query.ts';

/** Where a sidecar's upstream leads: what its agent asks its servers. Own format; not part of Consul's API. */

export interface ResolveArgs {
  readonly type: 'service' | 'prepared_query';
  /** Of the service; of the query, or its ID. */
  readonly name: string;
  /** Where the service is looked for, unless its resolver says otherwise. */
  readonly datacenter?: string;
  /** Where the agent is that asks for a query. */
  readonly agent?: { readonly node: string; readonly segment: string };
}

/** One place that an upstream may lead to. */
export interface ResolvedTarget {
  /** Unique within the upstream; stays the same as long as it means the same. */
  readonly id: string;
  readonly service: string;
  readonly datacenter: string;
  /** False: its datacenter can't be reached, or does not answer. The instances are those last known. */
  readonly reached: boolean;
  /**
   * False: nothing was heard of its instances since the server started, so that none need not mean that there are none.
   */
  readonly known: boolean;
  /** The healthy ones. */
  readonly instances: readonly QueryInstance[];
}

export interface ResolvedUpstream {
  /** As the service's resolver says. */
  readonly connectTimeoutMs?: number;
  /** In the order of preference. One that has not answered yet, after one that is healthy, is left out. */
  readonly targets: readonly ResolvedTarget[];
  /** For a service whose protocol has requests. Absent in answers of older servers. */
  readonly requests?: ResolvedRequests;
}

/** Where the requests to a service go. */
export interface ResolvedRequests {
  readonly chain: DiscoveryChain;
  /**
   * The targets of the chain that are not among those of the connections; one that has not answered yet is left out.
   */
  readonly others: readonly ResolvedTarget[];
}
