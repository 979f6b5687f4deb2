import type { ChangeProof } from '../../rpc/contract/changes.ts';
import type { Store } from '../../store/store.ts';
import { joinKey, type Table } from '../../store/table.ts';

/** How far a kind is, written in the same commit as the rows that it applied. */
export interface StoredCursor {
  readonly kind: string;
  readonly epoch: string;
  readonly revision: number;
  readonly proof?: ChangeProof;
}

/** A change that could not be applied, kept to be tried again. */
export interface StoredQuarantine {
  readonly kind: string;
  readonly key: string;
  /** Revision of the source's commit. */
  readonly revision: number;
  /** The entity as the source sent it. */
  readonly json: string;
  readonly error: string;
  /** When it was first refused, milliseconds since the epoch. */
  readonly since: number;
}

export interface ReplicaTables {
  readonly cursors: Table<StoredCursor>;
  readonly quarantine: Table<StoredQuarantine>;
}

const CURSOR_TOPIC = 'replication-cursor';
const QUARANTINE_TOPIC = 'replication-quarantine';

/** Declares replication's own tables; before the store is started. */
export function declareReplicaTables(store: Store): ReplicaTables {
  return {
    cursors: store.table({ name: CURSOR_TOPIC, key: ({ kind }) => joinKey(kind) }),
    quarantine: store.table({
      name: QUARANTINE_TOPIC,
      key: ({ kind, key }) => joinKey(kind, key),
      indexes: { kind: ({ kind }) => [kind] },
    }),
  };
}
