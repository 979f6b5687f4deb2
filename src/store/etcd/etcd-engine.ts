import type { Clock } from '../../lib/clock.ts';
import { IsthmusError, invariant } from '../../lib/errors.ts';
import { throwIfAborted } from '../../lib/signals.ts';
import { createTaskGroup } from '../../lib/task.ts';
import type { Logger } from '../../telemetry/types.ts';
import type {
  Commit,
  Engine,
  EngineContact,
  Lease,
  RangeQuery,
  RangeResult,
  RestoredRow,
  RestoreOptions,
  RestoreResult,
  SnapshotPage,
  Txn,
  TxnResult,
  WatchQuery,
} from '../engine.ts';
import { checkTxn } from '../keys.ts';
import { restoringError } from '../watchers.ts';
import { EtcdClient } from './client.ts';
import { compactAt, compactor } from './compactor.ts';
import { look } from './comparing.ts';
import type { EtcdTls } from './connection.ts';
import { CurrentHead } from './current.ts';
import { parseEndpoint } from './endpoint.ts';
import { type Head, type Layout, layoutBelow } from './head.ts';
import { openHead } from './heads.ts';
import { EtcdLeases } from './leases.ts';
import type { EtcdMeters } from './meters.ts';
import { Progress } from './progress.ts';
import { Reader } from './reader.ts';
import { Restore } from './restore.ts';
import { KEEP_MS } from './session.ts';
import { Watches } from './watches.ts';
import { Writer } from './writer.ts';

export interface EtcdEngineOptions {
  /** `https://host:port`, `http://host:port` or `host:port`; at least one. */
  readonly endpoints: readonly string[];
  readonly tls?: EtcdTls;
  readonly username?: string;
  readonly password?: string;
  /** Begins all keys; tells the stores in one etcd apart. */
  readonly prefix: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly meters: EtcdMeters;
  /**
   * How often history that is no longer needed is compacted, milliseconds; 0 leaves that to etcd. Default 300,000.
   */
  readonly compactEveryMs?: number;
  /** How many of the newest revisions stay, at least. Default 10,000. */
  readonly keepRevisions?: number;
  /** Gives the opening up. */
  readonly signal?: AbortSignal;
}

/** Between two looks whether the member that is spoken to still answers, milliseconds. */
const HEARTBEAT_MS = 1_000;

const NO_TLS: EtcdTls = { caFile: '', certFile: '', keyFile: '' };

/** Opens the store below a prefix of an etcd cluster; waits, with a line in the log, until one answers. */
export async function openEtcdEngine(options: EtcdEngineOptions): Promise<Engine> {
  const { endpoints, tls = NO_TLS, clock, log, meters } = options;
  invariant(endpoints.length > 0, 'etcd without an endpoint');
  const secure = tls.caFile !== '' || tls.certFile !== '';
  const client = new EtcdClient({
    endpoints: endpoints.map((name) => parseEndpoint(name, secure)),
    tls,
    username: options.username ?? '',
    password: options.password ?? '',
    clock,
    log,
    meters,
  });
  const layout = layoutBelow(options.prefix);
  try {
    const head = await client.untilReached(() => openHead(client, layout), options.signal);
    return new EtcdEngine(client, layout, head, options);
  } catch (error) {
    client.close();
    throw error;
  }
}

class EtcdEngine implements Engine {
  readonly shared = true;
  readonly #client: EtcdClient;
  readonly #current: CurrentHead;
  readonly #clock: Clock;
  readonly #leases: EtcdLeases;
  readonly #writer: Writer;
  readonly #reader: Reader;
  readonly #progress: Progress;
  readonly #watches: Watches;
  readonly #tasks;
  #restoring: Promise<unknown> | undefined;
  #closing: Promise<void> | undefined;

  constructor(client: EtcdClient, layout: Layout, head: Head, options: EtcdEngineOptions) {
    const { clock, log, compactEveryMs = 300_000, keepRevisions = 10_000 } = options;
    this.#client = client;
    this.#clock = clock;
    this.#current = new CurrentHead(client, layout, head);
    this.#leases = new EtcdLeases(client);
    this.#writer = new Writer(client, this.#leases, layout);
    this.#reader = new Reader(client, this.#current);
    this.#progress = new Progress(clock, () => this.#pushOn());
    this.#watches = new Watches(client, this.#current, this.#progress);
    this.#tasks = createTaskGroup({
      clock,
      // the client tells outages
      onError: (task, error) => log.debug('etcd task failed', { task, error: error.message }),
    });
    this.#tasks.loop('etcd heartbeat', { pauseMs: HEARTBEAT_MS }, async () => {
      if (client.contact().lastMs >= HEARTBEAT_MS) await this.#current.newest();
    });
    this.#tasks.loop('etcd writer', { pauseMs: KEEP_MS }, () => this.#writer.keep());
    if (compactEveryMs > 0) {
      const round = compactor(client, keepRevisions, () => this.#current.newest());
      this.#tasks.loop('etcd compaction', { pauseMs: compactEveryMs }, round);
    }
  }

  get epoch(): string {
    return this.#current.value.epoch;
  }

  contact(): EngineContact {
    return this.#client.contact();
  }

  async currentRevision(): Promise<number> {
    this.#check();
    const newest = await this.#current.newest();
    return this.#told(newest);
  }

  async range(query: RangeQuery): Promise<RangeResult> {
    this.#check();
    return this.#reader.range(query);
  }

  async txn(txn: Txn): Promise<TxnResult> {
    this.#check();
    checkTxn(txn);
    for (const op of txn.ops) if (op.type === 'put' && op.lease !== undefined) this.#leases.require(op.lease);
    const head = this.#current.value;
    if (txn.ops.length === 0) {
      const { held, revision } = await look(this.#client, txn.compare, head);
      return { succeeded: held, revision: this.#told(revision) };
    }
    const outcome = await this.#writer.write(txn, head);
    if (outcome.kind === 'applied') return { succeeded: true, revision: head.toRevision(outcome.revision) };
    if (outcome.kind === 'refused') return { succeeded: false, revision: this.#told(outcome.revision) };
    await this.#current.newest();
    return { succeeded: false, revision: this.#told(this.#current.value.since) };
  }

  watch(query: WatchQuery): AsyncIterable<Commit> {
    return this.#watches.watch(query);
  }

  async compact(revision: number): Promise<void> {
    this.#check();
    const newest = await this.#current.newest();
    await compactAt(this.#client, Math.min(this.#current.value.toEtcd(revision), newest));
  }

  async grantLease(ttlMs: number): Promise<Lease> {
    this.#check();
    return this.#leases.grant(ttlMs);
  }

  async keepLease(id: string): Promise<void> {
    this.#check();
    await this.#leases.keep(id);
  }

  async revokeLease(id: string): Promise<void> {
    this.#check();
    await this.#leases.revoke(id);
  }

  async *snapshot(signal: AbortSignal): AsyncGenerator<SnapshotPage, void, void> {
    this.#check();
    for await (const page of this.#reader.snapshot(signal)) {
      yield page;
      this.#check();
    }
  }

  async restore(pages: AsyncIterable<readonly RestoredRow[]>, options: RestoreOptions): Promise<RestoreResult> {
    this.#check();
    if (this.#restoring !== undefined) throw restoringError();
    const work = new Restore(this.#client, this.#leases, this.#current, this.#clock).run(pages, options);
    this.#restoring = work.catch(() => undefined);
    try {
      return await work;
    } finally {
      this.#restoring = undefined;
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#progress.close();
    // Left behind, what the writer holds ends by itself.
    if (this.contact().connected) await this.#writer.close().catch(() => undefined);
    this.#client.close();
    await this.#tasks.stop();
  }

  #check(): void {
    throwIfAborted(this.#client.closed);
    if (this.#closing !== undefined) throw new IsthmusError('unavailable', 'the store is closed');
  }

  /** A revision that a caller learns, and that its watches must pass. */
  #told(etcd: number): number {
    const revision = this.#current.value.toRevision(etcd);
    this.#progress.tell(revision);
    return revision;
  }

  async #pushOn(): Promise<void> {
    await this.#writer.write({ compare: [], ops: [] }, this.#current.value);
  }
}
