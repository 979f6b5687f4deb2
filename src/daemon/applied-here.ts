import type { Replicator } from '../federation/replication/replicator.ts';
import type { LeaderRoute } from '../server/leader-route.ts';
import type { Store } from '../store/store.ts';

export interface AppliedHereDeps {
  readonly leader: Pick<LeaderRoute, 'find'>;
  readonly replicator: Pick<Replicator, 'waitApplied'>;
  readonly store: Pick<Store, 'waitFor'>;
}

/** Resolves once this server shows what the primary had at a revision: the leader, which replicates, is asked for it. */
export function appliedHere({ leader, replicator, store }: AppliedHereDeps) {
  return async (kind: string, revision: number, signal: AbortSignal): Promise<void> => {
    const other = await leader.find(signal);
    if (other === undefined) {
      await replicator.waitApplied(kind, revision, signal);
      return;
    }
    const { value } = await other.read('replication.applied', { kind, revision }, { signal });
    await store.waitFor(value, signal);
  };
}
