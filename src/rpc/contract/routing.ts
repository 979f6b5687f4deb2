import { READS, type ReadName } from './reads.ts';
import { WRITES, type WriteArgs, type WriteName } from './writes.ts';

/** What a server knows of itself to say who decides. */
export interface Routing {
  readonly datacenter: string;
  readonly primaryDatacenter: string;
  /** True when the token with this accessor belongs to this datacenter alone. */
  readonly isLocalToken?: (accessor: string) => boolean;
}

/** The datacenter to forward a read to, or undefined when it is answered here. */
export function readTarget(routing: Routing, name: ReadName, wanted: string | undefined): string | undefined {
  return elsewhere(routing, wanted ?? (READS[name].answered === 'primary' ? routing.primaryDatacenter : undefined));
}

/** The datacenter to forward a write to, or undefined when it is decided here. */
export function writeTarget<N extends WriteName>(
  routing: Routing,
  name: N,
  args: WriteArgs<N>,
  wanted: string | undefined,
): string | undefined {
  const { decided } = WRITES[name];
  if (decided === 'here') return elsewhere(routing, wanted);
  if (decided === 'named') return elsewhere(routing, wanted || (args as { readonly Datacenter?: string }).Datacenter);
  if (decided !== 'primary') {
    const asked = elsewhere(routing, wanted);
    if (asked !== undefined) return asked;
    if (decided.tokenOwner(args, routing.isLocalToken ?? never)) return undefined;
  }
  return elsewhere(routing, routing.primaryDatacenter);
}

function never(): boolean {
  return false;
}

function elsewhere(routing: Routing, datacenter: string | undefined): string | undefined {
  return datacenter === undefined || datacenter === '' || datacenter === routing.datacenter ? undefined : datacenter;
}
