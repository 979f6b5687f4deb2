import type { KnownDatacenters, Step } from '../../domain/queries/plan.ts';
import type { ServerContract } from '../../rpc/contract/contract.ts';

/** Another datacenter that does not answer within this counts as one without healthy instances, milliseconds. */
export const PATIENCE_MS = 3_000;

/** The datacenters that a query can be served from, as its own one sees them. */
export interface Mesh extends KnownDatacenters {
  /** Whether questions reach it now. */
  reaches(datacenter: string): boolean;
  /** Calls `listener` when what {@link reaches} or {@link datacenters} say may have changed; returns what ends it. */
  onChange(listener: () => void): () => void;
  /** Asks the servers of the datacenter that the options name. Watches go on over cuts, silently. */
  readonly contract: Pick<ServerContract, 'read' | 'watch'>;
}

/** The question to the datacenter of a step. */
export function candidatesOf({ datacenter, selection }: Step, token = '') {
  const name = 'queries.candidates' as const;
  return { name, args: selection, datacenter, ...(token === '' ? {} : { token }) };
}
