import { createCa, type PrimaryCa } from '../../src/domain/ca/ca.ts';
import { createChangeSource } from '../../src/federation/replication/change-source.ts';
import { replicatedTable } from '../../src/federation/replication/kinds.ts';
import { createReplicator } from '../../src/federation/replication/replicator.ts';
import { IsthmusError } from '../../src/lib/errors.ts';
import { linkSignals, throwIfAborted } from '../../src/lib/signals.ts';
import type { ChangeSource } from '../../src/rpc/contract/changes.ts';
import type { Engine, Txn } from '../../src/store/engine.ts';
import { createLeadership } from '../../src/store/leadership.ts';
import { MemoryEngine } from '../../src/store/memory/memory-engine.ts';
import { Store } from '../../src/store/store.ts';
import type { Table } from '../../src/store/table.ts';
import { noLog, noMetrics } from '../../src/telemetry/types.ts';
import { caProviders } from './ca-datacenter.ts';
import type { FakeClock } from './fake-clock.ts';
import { ServerProcess } from './server-process.ts';

export interface Entry {
  readonly name: string;
  readonly text: string;
}

const never = new AbortController().signal;
const KIND = 'entries';

/** One commit that a server made as its datacenter's leader. */
export interface LeaderAct {
  readonly server: string;
  /** Revision of the leader's row that it was compared with. */
  readonly fence: number;
  readonly tables: readonly string[];
}

export type ClusterServer = Awaited<ReturnType<typeof startServer>>;

/** Servers of one datacenter over one engine in memory, each with its CA and, in a secondary, its replicator. */
export class ServerCluster {
  readonly datacenter: string;
  readonly engine: Engine;
  readonly servers: ClusterServer[] = [];
  /** What was committed as the leader, in order. */
  readonly acts: LeaderAct[] = [];
  /** Tables that only a leader may write, which somebody wrote without being it. */
  readonly unfenced: string[] = [];
  /** Commits that the engine refused because somebody else led by then, or had changed what they rest on. */
  refused = 0;
  readonly #clock: FakeClock;
  readonly #primary: ServerCluster | undefined;
  readonly #pick: <T>(from: readonly T[]) => T;

  /** @param primary absent: this is it. */
  constructor(
    datacenter: string,
    clock: FakeClock,
    pick: <T>(from: readonly T[]) => T,
    primary: ServerCluster | undefined = undefined,
  ) {
    this.datacenter = datacenter;
    this.engine = new MemoryEngine(clock);
    this.#clock = clock;
    this.#primary = primary;
    this.#pick = pick;
  }

  async start(name: string): Promise<ClusterServer> {
    const process = new ServerProcess(this.#clock, this.engine);
    process.onTxn = (txn, { succeeded }) => this.#note(name, txn, succeeded);
    const server = await startServer(name, this.datacenter, process, this.#primary);
    this.servers.push(server);
    return server;
  }

  /** A server that answers now; throws when none does. */
  any(): ClusterServer {
    const answering = this.servers.filter(({ process }) => process.answers);
    if (answering.length === 0) throw new IsthmusError('no_path', 'No path to datacenter');
    return this.#pick(answering);
  }

  leader(): ClusterServer {
    const leader = this.servers.find(({ process, leadership }) => process.answers && leadership.leading);
    if (leader === undefined) throw new IsthmusError('unavailable', 'No cluster leader');
    return leader;
  }

  async wake(): Promise<void> {
    for (const { process } of this.servers) {
      process.heal();
      await process.resume();
    }
  }

  async stop(): Promise<void> {
    await this.wake();
    for (const server of this.servers) await server.stop();
    await this.engine.close();
  }

  #note(server: string, { compare, ops }: Txn, succeeded: boolean): void {
    const fence = compare.find(({ key }) => key.startsWith('leadership/'))?.modRevision;
    const tables = [...new Set(ops.map(({ key }) => key.slice(0, key.indexOf('/'))))].filter(isLeadersTable);
    if (tables.length === 0) return;
    if (!succeeded) this.refused += 1;
    else if (fence === undefined) this.unfenced.push(`${server}: ${tables.join(', ')}`);
    else this.acts.push({ server, fence, tables });
  }
}

/** Holders and datacenters report to any server. */
function isLeadersTable(name: string): boolean {
  const reported = name === 'ca-holders' || name === 'ca-datacenters';
  return (name.startsWith('ca-') && !reported) || name.startsWith('replication-') || name === 'entries';
}

async function startServer(
  name: string,
  datacenter: string,
  process: ServerProcess,
  primary: ServerCluster | undefined,
) {
  const store = new Store({ engine: process, clock: process, onError: () => undefined });
  const entries: Table<Entry> = store.table<Entry>({ name: 'entries', key: (entry) => entry.name });
  const leadership = createLeadership(
    { store, clock: process, log: noLog, metrics: noMetrics, id: name, node: name, instance: name },
    { ttlMs: 10_000 },
  );
  const ca = createCa(
    {
      store,
      leadership,
      clock: process,
      log: noLog,
      metrics: noMetrics,
      providers: caProviders(process),
      datacenter,
      primaryDatacenter: 'dc1',
      random: () => 0.5,
      ...(primary === undefined ? {} : { primary: primaryCa(primary) }),
    },
    { distributeBoundMs: 60_000 },
  );
  const kinds = [replicatedTable(KIND, entries, (value) => value as Entry)];
  const changes = createChangeSource({ datacenter, store, history: process, kinds, clock: process });
  const replicator = createReplicator({
    datacenter,
    primaryDatacenter: 'dc1',
    kinds,
    source: primary === undefined ? changes : changesOf(primary),
    store,
    leadership,
    clock: process,
    log: noLog,
    metrics: noMetrics,
  });
  await store.start(never);
  await leadership.service.start(never);
  await ca.service.start(never);
  await replicator.service.start(never);
  return {
    name,
    process,
    store,
    leadership,
    ca,
    changes,
    replicator,
    entries,
    /** As a client's write of a configuration entry: any server of the primary takes it. */
    put: async (entry: Entry) =>
      (
        await store.transact((tx) => {
          tx.put(entries, entry);
        })
      ).revision,
    async stop() {
      await replicator.service.stop();
      await ca.service.stop();
      await leadership.service.stop();
      await store.stop();
    },
  };
}

/** The primary over any of its servers that answers; what it was waited for there breaks when that one is paused. */
function primaryCa(primary: ServerCluster): PrimaryCa {
  return {
    async *watchRoots(signal) {
      const { ca, store, process } = primary.any();
      const linked = linkSignals(signal, process.silence);
      const read = ca.reads['ca.roots'];
      try {
        for (;;) {
          const index = store.topics.index(read.topics({}));
          yield read.produce({});
          await store.topics.wait(read.topics({}), index, linked.signal);
        }
      } finally {
        linked.release();
      }
    },
    config: async () => primary.any().ca.reads['ca.config'].produce({}),
    signIntermediate: async (csr, datacenter) => primary.leader().ca.signIntermediate({ csr, datacenter }),
    async report(report) {
      await primary.any().ca.reportDatacenter(report);
    },
  };
}

function changesOf(primary: ServerCluster): ChangeSource {
  return {
    async *changes(request, signal) {
      const { changes, process } = primary.any();
      const linked = linkSignals(signal, process.silence);
      try {
        for await (const message of changes.changes(request, linked.signal)) {
          throwIfAborted(linked.signal);
          yield message;
        }
      } finally {
        linked.release();
      }
    },
  };
}
