import type { KnownDatacenters } from '../../domain/queries/plan.ts';
import type { QueryInstance, QuerySelection } from '../../model/prepared-query.ts';

export interface AskOptions {
  readonly signal: AbortSignal;
  readonly token?: string;
}

/** The datacenters that a query can be served from, as its own one sees them. */
export interface Mesh extends KnownDatacenters {
  /** Whether questions reach it now. */
  reaches(datacenter: string): boolean;
  /** Calls `listener` when what {@link reaches} or {@link datacenters} say may have changed; returns what ends it. */
  onChange(listener: () => void): () => void;
  ask(datacenter: string, selection: QuerySelection, options: AskOptions): Promise<readonly QueryInstance[]>;
  /** The answer now and after each change; goes on over cuts, silently. */
  follow(datacenter: string, selection: QuerySelection, options: AskOptions): AsyncIterable<readonly QueryInstance[]>;
}
