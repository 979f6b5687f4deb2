import type { Clock } from '../lib/clock.ts';
import { IsthmusError } from '../lib/errors.ts';
import { abortReason, throwIfAborted, withDeadline } from '../lib/signals.ts';
import type { ReplicatedKindName } from '../model/replication.ts';
import type {
  CallOptions,
  ReadOptions,
  ReadResult,
  ServerContract,
  WatchUpdate,
  WriteResult,
} from '../rpc/contract/contract.ts';
import { READS, type ReadArgs, type ReadName, type ReadValue } from '../rpc/contract/reads.ts';
import { makeResult } from '../rpc/contract/result.ts';
import { type Routing, readTarget, writeTarget } from '../rpc/contract/routing.ts';
import { WRITES, type WriteArgs, type WriteName, type WriteValue } from '../rpc/contract/writes.ts';
import { questionKey } from '../rpc/subscribe/question.ts';
import type { Store } from '../store/store.ts';
import type { Metrics } from '../telemetry/types.ts';
import { Answers } from './answers.ts';
import { blockUntilNewer } from './blocking.ts';
import { absentAsSeenBy, asSeenBy, catchUp } from './consistency.ts';
import type { AskedRead, AskedReads, ReadDefinitions, WriteDefinitions } from './definitions.ts';
import type { LeaderRoute } from './leader-route.ts';
import { SharedWatches } from './shared-watches.ts';

export interface ServerDeps extends Routing {
  readonly store: Store;
  readonly reads: ReadDefinitions;
  readonly writes: WriteDefinitions;
  readonly asked?: AskedReads;
  /** Another datacenter's servers; throws `no_path` when there is no way to it. */
  readonly remote: (datacenter: string) => ServerContract;
  /** Finds the server that leads this datacenter; absent where there is one server. */
  readonly leader?: Pick<LeaderRoute, 'find'>;
  /** How old a copied table may be, milliseconds, while its source is away. */
  readonly ageMs?: (kind: ReplicatedKindName) => number;
  /** Resolves once a copied table shows what the primary had at a revision. */
  readonly replicated: (kind: ReplicatedKindName, revision: number, signal: AbortSignal) => Promise<void>;
  readonly clock: Clock;
  readonly metrics: Metrics;
  /** Chance in [0, 1) for jitter. */
  readonly random: () => number;
}

/** A write decided by the primary is waited for this long here; it arrives later anyway. Milliseconds. */
const READ_YOUR_WRITE_MS = 3_000;

/** The server contract carried out in process: forward, then block, answer or write, and meter. */
export class Server implements ServerContract {
  readonly #deps: ServerDeps;
  readonly #answers: Answers;
  /** Of what is asked of others. */
  readonly #shared: SharedWatches;
  readonly #agedAnswers = new WeakMap<ReadResult<unknown>, ReadResult<unknown>>();
  readonly #readCounts = new Map<string, number>();
  readonly #writeCounter;
  readonly #writeSeconds;

  constructor(deps: ServerDeps) {
    this.#deps = deps;
    this.#answers = new Answers(deps.reads, deps.store.topics);
    this.#shared = new SharedWatches(deps.clock);
    deps.metrics.gauge(
      { name: 'isthmus_server_reads', help: 'Reads answered since the start, by name', labels: ['name'] },
      (set) => {
        for (const [name, count] of this.#readCounts) set(count, { name });
      },
    );
    deps.metrics.gauge(
      { name: 'isthmus_server_blocked_queries', help: 'Listeners that wait for a topic to change' },
      (set) => set(deps.store.topics.waiting),
    );
    this.#writeCounter = deps.metrics.counter({
      name: 'isthmus_server_writes_total',
      help: 'Writes by name and outcome (ok or the error code)',
      labels: ['name', 'outcome'],
    });
    this.#writeSeconds = deps.metrics.histogram({
      name: 'isthmus_server_write_seconds',
      help: 'Time of a write until it is readable here',
      labels: ['name'],
    });
  }

  async read<N extends ReadName>(name: N, args: ReadArgs<N>, options: ReadOptions): Promise<ReadResult<ReadValue<N>>> {
    const datacenter = this.#readTarget(name, options);
    if (datacenter !== undefined) return this.#deps.remote(datacenter).read(name, args, withoutDatacenter(options));
    this.#countRead(name);
    const { store } = this.#deps;
    const { leader: ofLeader, madeFrom, current } = READS[name];
    const leader = ofLeader ? await this.#deps.leader?.find(options.signal) : undefined;
    if (leader !== undefined) return leader.read(name, args, withoutDatacenter(options));
    const waits = options.index !== undefined && options.index > 0; // it receives what comes
    if (options.consistency === 'consistent' || (current && store.shared && !waits && options.consistency !== 'stale'))
      await store.sync(options.signal);
    const asked = this.#asked(name);
    if (asked !== undefined) {
      if (asked.ask === undefined) throw new IsthmusError('rejected', `${name} can only be watched`);
      return makeResult({ index: 1, value: await asked.ask(args, options) });
    }
    const topics = this.#answers.topicsOf(name, args);
    if (options.index !== undefined && options.index > 0 && topics.length > 0) {
      await catchUp(store, this.#deps.clock, options);
      await blockUntilNewer(
        { topics: store.topics, clock: this.#deps.clock, random: this.#deps.random },
        topics,
        options.index,
        options.waitMs,
        options.signal,
      );
    }
    const result = this.#answer(name, args, topics, options);
    const ageMs = madeFrom === undefined ? 0 : (this.#deps.ageMs?.(madeFrom) ?? 0);
    return ageMs < 1_000 ? result : this.#aged(result, Math.floor(ageMs / 1_000));
  }

  #answer<N extends ReadName>(
    name: N,
    args: ReadArgs<N>,
    topics: readonly string[],
    options: ReadOptions,
  ): ReadResult<ReadValue<N>> {
    const { store } = this.#deps;
    try {
      return asSeenBy(store, this.#answers.get(name, args, topics), options);
    } catch (error) {
      throw absentAsSeenBy(store, error, options);
    }
  }

  /** The answer with its age: whoever asks within the same second shares it. */
  #aged<T>(result: ReadResult<T>, seconds: number): ReadResult<T> {
    const lastContactMs = Math.max(seconds * 1_000, result.lastContactMs);
    const known = this.#agedAnswers.get(result);
    if (known?.lastContactMs === lastContactMs) return known as ReadResult<T>;
    const { value, index, knownLeader } = result;
    const aged = makeResult({ value, index, knownLeader, lastContactMs });
    this.#agedAnswers.set(result, aged);
    return aged;
  }

  async write<N extends WriteName>(
    name: N,
    args: WriteArgs<N>,
    options: CallOptions,
  ): Promise<WriteResult<WriteValue<N>>> {
    const started = this.#deps.clock.steady();
    try {
      const result = await this.#route(name, args, options);
      this.#writeCounter.add(1, { name, outcome: 'ok' });
      return result;
    } catch (error) {
      this.#writeCounter.add(1, { name, outcome: IsthmusError.from(error).code });
      throw error;
    } finally {
      this.#writeSeconds.observe((this.#deps.clock.steady() - started) / 1_000, { name });
    }
  }

  async *watch<N extends ReadName>(
    name: N,
    args: ReadArgs<N>,
    options: CallOptions,
  ): AsyncIterable<WatchUpdate<ReadValue<N>>> {
    const datacenter = this.#readTarget(name, options);
    const key = questionKey({ ...options, name, args, datacenter });
    if (datacenter !== undefined) {
      const { token } = options;
      const question = token === undefined ? {} : { token };
      const begin = (signal: AbortSignal) => this.#deps.remote(datacenter).watch(name, args, { ...question, signal });
      yield* this.#shared.watch(key, begin, options.signal);
      return;
    }
    this.#countRead(name);
    const asked = this.#asked(name);
    if (asked !== undefined) {
      const { follow } = asked;
      if (follow === undefined) throw new IsthmusError('rejected', `${name} can't be watched`);
      const begin = (signal: AbortSignal) => numbered(follow.call(asked, args, { ...options, signal }));
      yield* this.#shared.watch(key, begin, options.signal);
      return;
    }
    let index = 0;
    const topics = this.#answers.topicsOf(name, args);
    while (!options.signal.aborted) {
      index = await this.#deps.store.topics.wait(topics, index, options.signal);
      const result = this.#answers.get(name, args, topics);
      yield { index: result.index, value: result.value };
    }
    throw abortReason(options.signal);
  }

  #asked<N extends ReadName>(name: N): AskedRead<N> | undefined {
    return this.#deps.asked?.[name] as AskedRead<N> | undefined;
  }

  /** The datacenter to forward a read to, or undefined when it is answered here. */
  #readTarget(name: ReadName, options: CallOptions): string | undefined {
    return readTarget(this.#deps, name, options.datacenter);
  }

  async #route<N extends WriteName>(
    name: N,
    args: WriteArgs<N>,
    options: CallOptions,
  ): Promise<WriteResult<WriteValue<N>>> {
    const target = writeTarget(this.#deps, name, args, options.datacenter);
    if (target === undefined) return this.#carryOut(name, args, options);
    const result = await this.#deps.remote(target).write(name, args, withoutDatacenter(options));
    const { arrivesIn } = WRITES[name];
    if (arrivesIn !== undefined && target === this.#deps.primaryDatacenter)
      await this.#waitReadable(arrivesIn, result.revision, options.signal);
    return result;
  }

  async #carryOut<N extends WriteName>(
    name: N,
    args: WriteArgs<N>,
    options: CallOptions,
  ): Promise<WriteResult<WriteValue<N>>> {
    const leader = WRITES[name].leader ? await this.#deps.leader?.find(options.signal) : undefined;
    if (leader !== undefined) {
      const result = await leader.write(name, args, withoutDatacenter(options));
      await this.#deps.store.waitFor(result.revision, options.signal); // readable here too
      return result;
    }
    const value = await this.#deps.writes[name](args, options);
    return { value, revision: this.#deps.store.revision };
  }

  async #waitReadable(kind: ReplicatedKindName, revision: number, signal: AbortSignal): Promise<void> {
    const limit = withDeadline(this.#deps.clock, READ_YOUR_WRITE_MS, 'replication of the write', signal);
    try {
      await this.#deps.replicated(kind, revision, limit.signal);
    } catch {
      throwIfAborted(signal); // else it is written, and arrives later
    } finally {
      limit.release();
    }
  }

  #countRead(name: string): void {
    this.#readCounts.set(name, (this.#readCounts.get(name) ?? 0) + 1);
  }
}

async function* numbered<T>(values: AsyncIterable<T>): AsyncIterable<WatchUpdate<T>> {
  let index = 0;
  for await (const value of values) yield { index: ++index, value };
}

function withoutDatacenter<O extends CallOptions>(options: O): O {
  const { datacenter: _dropped, ...rest } = options;
  return rest as O;
}
