import type { Clock } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import type { Service } from '../../lib/service.ts';
import type { KindReplication, ReplicationState, ReplicationStatus } from '../../model/replication.ts';
import type { ChangeSource } from '../../rpc/contract/changes.ts';
import type { Leadership } from '../../store/leadership.ts';
import type { Read } from '../../store/read.ts';
import type { Store } from '../../store/store.ts';
import type { Logger, Metrics } from '../../telemetry/types.ts';
import { Follower, type ReplicationTimings } from './follower.ts';
import type { ReplicatedKind } from './kinds.ts';
import { declareReplicaTables } from './replica-tables.ts';

export interface ReplicatorDeps {
  readonly datacenter: string;
  readonly primaryDatacenter: string;
  readonly kinds: readonly ReplicatedKind[];
  /** The primary's tables; unused in the primary. */
  readonly source: ChangeSource;
  readonly store: Store;
  /** One server of the datacenter replicates. */
  readonly leadership: Pick<Leadership, 'fenced' | 'duty'>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly timings?: Partial<ReplicationTimings>;
  /** What is known to be wrong with the token that the source is asked with. */
  readonly tokenProblem?: () => string;
}

export interface Replicator {
  readonly service: Service;
  readonly reads: {
    readonly 'replication.status': Read<Record<never, never>, ReplicationStatus>;
    readonly 'replication.ages': Read<Record<never, never>, Readonly<Record<string, number>>>;
  };
  /** Resolves once this datacenter shows what the primary had at `revision`; at once in the primary. Ask the leader. */
  waitApplied(kind: string, revision: number, signal: AbortSignal): Promise<void>;
  /**
   * How old this datacenter's copy of a table may be, milliseconds; 0 while it is followed, and where another server
   * does that.
   */
  ageMs(kind: string): number;
  /** An operator's word that the primary's store is right although it is older or another one. Tell the leader. */
  readonly writes: { 'replication.acceptSource'(args: { readonly kind: string }): Promise<null> };
}

const DEFAULT_TIMINGS: ReplicationTimings = { stalledMs: 10_000, refusedMs: 5_000, reconnectMs: 3_000 };
/** Between two looks at who is silent, milliseconds. */
const WATCH_MS = 1_000;
const STATES: readonly ReplicationState[] = ['connecting', 'snapshot', 'following', 'stalled', 'refused'];

/**
 * Keeps this datacenter's copies of the primary's tables equal to it. Declares tables: create it before the store
 * starts.
 */
export function createReplicator(deps: ReplicatorDeps): Replicator {
  const { datacenter, primaryDatacenter, store, leadership, clock, log, metrics } = deps;
  const primary = datacenter === primaryDatacenter;
  const tables = declareReplicaTables(store);
  const timings = { ...DEFAULT_TIMINGS, ...deps.timings };
  const followers = new Map<string, Follower>();
  for (const kind of primary ? [] : deps.kinds) {
    followers.set(
      kind.name,
      new Follower({
        kind,
        source: deps.source,
        sourceDatacenter: primaryDatacenter,
        store: leadership.fenced,
        tables,
        clock,
        log,
        timings,
      }),
    );
  }
  let endDuty = async (): Promise<void> => undefined;
  const follower = (kind: string): Follower => {
    const found = followers.get(kind);
    if (found === undefined) throw new IsthmusError('not_found', `"${kind}" is not replicated`);
    return found;
  };
  declareMetrics(metrics, followers);

  return {
    service: {
      name: 'replication',
      async start() {
        if (primary) return;
        endDuty = leadership.duty('replication', (tasks) => {
          for (const [kind, one] of followers) tasks.run(`replicate ${kind}`, (signal) => one.run(signal));
          tasks.loop('watch replication', { pauseMs: WATCH_MS }, async () => {
            for (const one of followers.values()) one.watch();
          });
        });
      },
      stop: () => endDuty(),
    },
    reads: {
      'replication.ages': {
        topics: () => [],
        produce: () => Object.fromEntries([...followers].map(([kind, one]) => [kind, one.ageMs()])),
      },
      'replication.status': {
        // State and lag change without any write: made anew each time.
        topics: () => [],
        produce: () => ({
          Datacenter: datacenter,
          PrimaryDatacenter: primaryDatacenter,
          Primary: primary,
          TokenProblem: deps.tokenProblem?.() ?? '',
          Kinds: primary ? deps.kinds.map(({ name }) => off(name)) : [...followers.values()].map((one) => one.status()),
        }),
      },
    },
    async waitApplied(kind, revision, signal) {
      if (!primary) await follower(kind).waitApplied(revision, signal);
    },
    ageMs: (kind) => followers.get(kind)?.ageMs() ?? 0,
    writes: {
      async 'replication.acceptSource'({ kind }) {
        follower(kind).acceptSource();
        return null;
      },
    },
  };
}

/** The primary does not replicate. */
function off(kind: string): KindReplication {
  return {
    Kind: kind,
    State: 'off',
    Reason: '',
    SourceDatacenter: '',
    AppliedRevision: 0,
    SourceRevision: 0,
    LagRevisions: 0,
    LagSeconds: 0,
    LastError: '',
    LastErrorAt: '',
    LastSuccess: '',
    Quarantined: [],
  };
}

function declareMetrics(metrics: Metrics, followers: ReadonlyMap<string, Follower>): void {
  const gauge = (name: string, help: string, value: (status: KindReplication) => number): void => {
    metrics.gauge({ name, help, labels: ['kind'] }, (set) => {
      for (const [kind, one] of followers) set(value(one.status()), { kind });
    });
  };
  gauge(
    'isthmus_replication_lag_seconds',
    'Time since everything known of the primary was applied.',
    (s) => s.LagSeconds,
  );
  gauge(
    'isthmus_replication_lag_revisions',
    'Revisions of the primary that are not applied yet.',
    (s) => s.LagRevisions,
  );
  gauge(
    'isthmus_replication_applied_revision',
    'Newest revision of the primary that was applied.',
    (s) => s.AppliedRevision,
  );
  gauge('isthmus_replication_quarantined_entries', 'Entries that could not be applied.', (s) => s.Quarantined.length);
  metrics.gauge(
    {
      name: 'isthmus_replication_state',
      help: '1 for the present state of replication, 0 for the others.',
      labels: ['kind', 'state'],
    },
    (set) => {
      for (const [kind, one] of followers) {
        const now = one.status().State;
        for (const state of STATES) set(state === now ? 1 : 0, { kind, state });
      }
    },
  );
}
