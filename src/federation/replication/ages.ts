import type { Clock } from '../../lib/clock.ts';
import type { Service } from '../../lib/service.ts';
import { withDeadline } from '../../lib/signals.ts';
import { createTaskGroup } from '../../lib/task.ts';
import type { ServerContract } from '../../rpc/contract/contract.ts';
import type { Leadership } from '../../store/leadership.ts';
import type { Replicator } from './replicator.ts';

export interface ReplicationAgesDeps {
  readonly leadership: Pick<Leadership, 'leading'>;
  /** The server that leads; undefined when it is this one. */
  readonly leader: { find(signal: AbortSignal): Promise<ServerContract | undefined> };
  readonly replicator: Pick<Replicator, 'ageMs'>;
  readonly clock: Clock;
}

export interface ReplicationAges {
  readonly service: Service;
  /** How old what was copied of a kind may be, milliseconds. */
  ageMs(kind: string): number;
}

/** How often the leader, which replicates, is asked; and how long it may take to answer. Milliseconds. */
const ASK_MS = 5_000;
const ANSWER_MS = 2_000;

/** Knows on every server how old its copies are: by itself on the one that leads, by asking that one on the others. */
export function createReplicationAges({ leadership, leader, replicator, clock }: ReplicationAgesDeps): ReplicationAges {
  let told = { ages: {} as Readonly<Record<string, number>>, at: clock.steady() };
  const tasks = createTaskGroup({ clock, onError: () => undefined }); // whoever can't be asked is asked again
  const ask = async (signal: AbortSignal): Promise<void> => {
    if (leadership.leading) return;
    const limit = withDeadline(clock, ANSWER_MS, 'asking the leader', signal);
    try {
      const other = await leader.find(limit.signal);
      const answer = await other?.read('replication.ages', {}, { signal: limit.signal });
      if (answer !== undefined) told = { ages: answer.value, at: clock.steady() };
    } finally {
      limit.release();
    }
  };
  return {
    service: {
      name: 'ages of what is replicated',
      start: async () =>
        tasks.loop('ask the leader', { pauseMs: ASK_MS, backoff: { baseMs: ASK_MS, maxMs: ASK_MS } }, ask),
      stop: () => tasks.stop(),
    },
    ageMs(kind) {
      if (leadership.leading) return replicator.ageMs(kind);
      const since = clock.steady() - told.at;
      const age = told.ages[kind] ?? 0;
      return age > 0 || since > 3 * ASK_MS ? age + since : 0; // it was in step when last asked, a moment ago
    },
  };
}
