import type { ServerContract } from '../../rpc/contract/contract.ts';
import type { Store } from '../../store/store.ts';
import type { Replicator } from './replicator.ts';

export interface AppliedHereDeps {
  /** The server that leads; undefined when it is this one. */
  readonly leader: { find(signal: AbortSignal): Promise<ServerContract | undefined> };
  readonly replicator: Pick<Replicator, 'waitApplied'>;
  readonly store: Pick<Store, 'waitFor'>;
}

/** Resolves once this server shows what the primary had at a revision. */
export type WaitApplied = (kind: string, revision: number, signal: AbortSignal) => Promise<void>;

/** The leader, which replicates, is asked for it. */
export function appliedHere({ leader, replicator, store }: AppliedHereDeps): WaitApplied {
  return async (kind, revision, signal) => {
    const other = await leader.find(signal);
    if (other === undefined) {
      await replicator.waitApplied(kind, revision, signal);
      return;
    }
    const { value } = await other.read('replication.applied', { kind, revision }, { signal });
    await store.waitFor(value, signal);
  };
}
