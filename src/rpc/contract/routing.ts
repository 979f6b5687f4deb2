import type { ReadName } from './reads.ts';
import type { WriteName } from './writes.ts';

/**
 * Which server decides a write.
 * - datacenter: one of the datacenter that the request names, by default the one that was asked
 * - primary: one of the primary datacenter, wherever it was asked
 * - token: as datacenter when the token belongs to that datacenter alone, else as primary
 */
export type WriteRoute = 'datacenter' | 'primary' | 'token';

export const WRITE_ROUTES: Readonly<Record<WriteName, WriteRoute>> = {
  'catalog.register': 'datacenter',
  'catalog.deregister': 'datacenter',
  'coordinate.update': 'datacenter',
  'config.apply': 'primary',
  'config.delete': 'primary',
  'intentions.create': 'primary',
  'intentions.update': 'primary',
  'intentions.upsertExact': 'primary',
  'intentions.delete': 'primary',
  'intentions.deleteExact': 'primary',
  'queries.create': 'datacenter',
  'queries.update': 'datacenter',
  'queries.delete': 'datacenter',
  'ca.setConfig': 'primary',
  'ca.rotate': 'primary',
  'ca.signLeaf': 'datacenter',
  'ca.signIntermediate': 'datacenter',
  'ca.reportHolder': 'datacenter',
  'ca.reportDatacenter': 'datacenter',
  'replication.acceptSource': 'datacenter',
  'transport.invite': 'datacenter',
  'transport.revokeInvitation': 'datacenter',
  'nodes.forceLeave': 'datacenter',
  'acl.bootstrap': 'primary',
  'acl.setPolicy': 'primary',
  'acl.deletePolicy': 'primary',
  'acl.setRole': 'primary',
  'acl.deleteRole': 'primary',
  'acl.createToken': 'token',
  'acl.updateToken': 'token',
  'acl.cloneToken': 'token',
  'acl.deleteToken': 'token',
};

/** Reads that the primary answers for every datacenter, unless the request names one. */
export const PRIMARY_READS: ReadonlySet<ReadName> = new Set<ReadName>(['ca.rotation']);

/** What only the server that leads its datacenter decides, and knows: the others ask it. */
export const LEADER_WRITES: ReadonlySet<WriteName> = new Set<WriteName>([
  'ca.setConfig',
  'ca.rotate',
  'ca.signIntermediate',
  'replication.acceptSource',
]);
export const LEADER_READS: ReadonlySet<ReadName> = new Set<ReadName>([
  'federation.autonomy',
  'replication.status',
  'replication.ages',
  'replication.applied',
  'acl.replication',
]);

/** What a server knows of itself to tell who decides. */
export interface Routing {
  readonly datacenter: string;
  readonly primaryDatacenter: string;
  /** True when the token that a write of the route `token` is about belongs to this datacenter alone. */
  readonly ownsToken?: (name: WriteName, args: unknown) => boolean;
}

/** The datacenter to forward a read to, or undefined when it is answered here. */
export function readTarget(routing: Routing, name: ReadName, wanted: string | undefined): string | undefined {
  return elsewhere(routing, wanted ?? (PRIMARY_READS.has(name) ? routing.primaryDatacenter : undefined));
}

/** The datacenter to forward a write to, or undefined when it is decided here. */
export function writeTarget(
  routing: Routing,
  name: WriteName,
  args: unknown,
  wanted: string | undefined,
): string | undefined {
  const route = WRITE_ROUTES[name];
  if (route === 'datacenter')
    return elsewhere(routing, wanted || (args as { readonly Datacenter?: string }).Datacenter);
  if (route === 'token') {
    const asked = elsewhere(routing, wanted);
    if (asked !== undefined) return asked;
    if (routing.ownsToken?.(name, args) === true) return undefined;
  }
  return elsewhere(routing, routing.primaryDatacenter);
}

function elsewhere(routing: Routing, datacenter: string | undefined): string | undefined {
  return datacenter === undefined || datacenter === '' || datacenter === routing.datacenter ? undefined : datacenter;
}
