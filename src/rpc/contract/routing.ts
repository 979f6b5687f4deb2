import type { ReadName } from './reads.ts';
import type { WriteName } from './writes.ts';

/**
 * Which server decides a write.
 * - datacenter: one of the datacenter that the request names, by default the one that was asked
 * - primary: one of the primary datacenter, wherever it was asked
 */
export type WriteRoute = 'datacenter' | 'primary';

export const WRITE_ROUTES: Readonly<Record<WriteName, WriteRoute>> = {
  'catalog.register': 'datacenter',
  'catalog.deregister': 'datacenter',
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
};

/** Reads that the primary answers for every datacenter, unless the request names one. */
export const PRIMARY_READS: ReadonlySet<ReadName> = new Set<ReadName>(['ca.rotation']);
