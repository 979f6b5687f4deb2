import type { Clock } from '../lib/clock.ts';
import { IsthmusError } from '../lib/errors.ts';
import { abortable, abortReason, throwIfAborted, withDeadline } from '../lib/signals.ts';
import type { ServerContract } from '../rpc/contract/contract.ts';
import type { Leadership } from '../store/leadership.ts';
import type { Store } from '../store/store.ts';

export interface LeaderRouteDeps {
  readonly leadership: Pick<Leadership, 'leading' | 'leader' | 'onChange'>;
  readonly store: Pick<Store, 'sync' | 'shared'>;
  /** Node ID of this server. */
  readonly self: string;
  /** Another server of this datacenter; undefined while it is not known to live. */
  readonly contract: (nodeId: string) => ServerContract | undefined;
  /** Told when `contract` may answer otherwise; returns what ends it. */
  readonly onServers: (listener: () => void) => () => void;
  readonly clock: Clock;
}

/** As Consul's `rpc_hold_timeout`: how long a call waits for a leader, milliseconds. */
const HOLD_MS = 7_000;

/** Finds the server that leads, for what only that one may do or knows. */
export class LeaderRoute {
  readonly #deps: LeaderRouteDeps;

  constructor(deps: LeaderRouteDeps) {
    this.#deps = deps;
  }

  /** The leader; undefined when it is this server. Waits while none is known, then throws `unavailable`. */
  async find(signal: AbortSignal): Promise<ServerContract | undefined> {
    const { leadership, store, clock } = this.#deps;
    if (leadership.leading) return undefined;
    const limit = withDeadline(clock, HOLD_MS, 'the wait for a leader', signal);
    try {
      // Else two servers that each take the other for the leader would send a call to and fro.
      if (store.shared) await abortable(store.sync(limit.signal), limit.signal);
      for (;;) {
        if (leadership.leading) return undefined;
        const contract = this.#leader();
        if (contract !== undefined) return contract;
        await this.#changed(limit.signal);
      }
    } catch (error) {
      throwIfAborted(signal);
      throw new IsthmusError('unavailable', 'No cluster leader', { cause: error });
    } finally {
      limit.release();
    }
  }

  #leader(): ServerContract | undefined {
    const { leadership, self, contract } = this.#deps;
    const leader = leadership.leader();
    return leader === undefined || leader.id === self ? undefined : contract(leader.id);
  }

  #changed(signal: AbortSignal): Promise<void> {
    const { leadership, onServers } = this.#deps;
    return new Promise((resolve, reject) => {
      const finish = (): void => {
        for (const end of ends) end();
        signal.removeEventListener('abort', onAbort);
      };
      const onAbort = (): void => {
        finish();
        reject(abortReason(signal));
      };
      const onChange = (): void => {
        finish();
        resolve();
      };
      const ends = [leadership.onChange(onChange), onServers(onChange)];
      signal.addEventListener('abort', onAbort, { once: true });
      if (signal.aborted) onAbort();
    });
  }
}
