import type { Clock, Timer } from '../../src/lib/clock.ts';
import { IsthmusError } from '../../src/lib/errors.ts';
import { linkSignals } from '../../src/lib/signals.ts';
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
} from '../../src/store/engine.ts';

/**
 * What a server's process does to its clock and its engine: it can be stopped as by SIGSTOP (timers and answers wait
 * until it goes on) and be cut off from the engine (calls fail). Several of them share one engine.
 */
export class ServerProcess implements Clock, Engine {
  readonly shared = true;
  readonly #clock: Clock;
  readonly #engine: Engine;
  readonly #late: (() => void)[] = [];
  #resumed: Promise<void> | undefined;
  #resume = (): void => undefined;
  #caughtUp: Promise<void> | undefined;
  #catchUp = (): void => undefined;
  #silence = new AbortController();
  #offMs = 0;
  #cutAt = 0;
  #cut = new AbortController();
  /** Sees every transaction of this process that the engine has carried out. */
  onTxn: (txn: Txn, result: TxnResult) => void = () => undefined;

  constructor(clock: Clock, engine: Engine) {
    this.#clock = clock;
    this.#engine = engine;
  }

  get epoch(): string {
    return this.#engine.epoch;
  }

  get paused(): boolean {
    return this.#resumed !== undefined;
  }

  /** True: it runs and reaches the engine. */
  get answers(): boolean {
    return !this.paused && !this.#cut.signal.aborted;
  }

  /** Aborts when others hear no more of it. */
  get silence(): AbortSignal {
    return this.#silence.signal;
  }

  pause(): void {
    this.#silence.abort(new IsthmusError('unavailable', 'the server is silent'));
    this.#resumed ??= new Promise((resolve) => {
      this.#resume = resolve;
    });
  }

  /** Answers that have waited come first, then the timers: the later it learns what it missed, the harder. */
  async resume(): Promise<void> {
    if (this.#resumed === undefined) return;
    this.#resumed = undefined;
    this.#silence = new AbortController();
    this.#resume();
    await new Promise<void>((resolve) => setImmediate(resolve));
    for (const fire of this.#late.splice(0)) fire();
  }

  /** Withholds what the watch tells: the view gets old while everything else goes on. */
  lag(): void {
    this.#caughtUp ??= new Promise((resolve) => {
      this.#catchUp = resolve;
    });
  }

  catchUp(): void {
    this.#caughtUp = undefined;
    this.#catchUp();
  }

  cutOff(): void {
    if (!this.#cut.signal.aborted) this.#cutAt = this.#clock.now();
    this.#cut.abort(new IsthmusError('unavailable', 'the store can not be reached'));
  }

  heal(): void {
    if (this.#cut.signal.aborted) this.#cut = new AbortController();
  }

  /** Sets its wall clock off by this much from here on; timers don't notice. */
  jump(ms: number): void {
    this.#offMs += ms;
  }

  now(): number {
    return this.#clock.now() + this.#offMs;
  }

  steady(): number {
    return this.#clock.steady();
  }

  onJump(listener: (byMs: number) => void): () => void {
    return this.#clock.onJump(listener);
  }

  after(ms: number, fire: () => void): Timer {
    let cancelled = false;
    const timer = this.#clock.after(ms, () => {
      if (this.paused) this.#late.push(() => (cancelled ? undefined : fire()));
      else fire();
    });
    return {
      cancel: () => {
        cancelled = true;
        timer.cancel();
      },
    };
  }

  contact(): EngineContact {
    const connected = !this.#cut.signal.aborted;
    return { connected, writable: connected, lastMs: connected ? 0 : this.#clock.now() - this.#cutAt };
  }

  currentRevision(): Promise<number> {
    return this.#call(() => this.#engine.currentRevision());
  }

  range(query: RangeQuery): Promise<RangeResult> {
    return this.#call(() => this.#engine.range(query));
  }

  txn(txn: Txn): Promise<TxnResult> {
    return this.#call(async () => {
      const result = await this.#engine.txn(txn);
      this.onTxn(txn, result);
      return result;
    });
  }

  async *watch(query: WatchQuery): AsyncGenerator<Commit> {
    const linked = linkSignals(query.signal, this.#cut.signal);
    try {
      for await (const commit of this.#engine.watch({ ...query, signal: linked.signal })) {
        await this.#resumed;
        await this.#caughtUp;
        yield commit;
      }
    } finally {
      linked.release();
    }
  }

  compact(revision: number): Promise<void> {
    return this.#call(() => this.#engine.compact(revision));
  }

  grantLease(ttlMs: number): Promise<Lease> {
    return this.#call(() => this.#engine.grantLease(ttlMs));
  }

  keepLease(id: string): Promise<void> {
    return this.#call(() => this.#engine.keepLease(id));
  }

  revokeLease(id: string): Promise<void> {
    return this.#call(() => this.#engine.revokeLease(id));
  }

  snapshot(signal: AbortSignal): AsyncIterable<SnapshotPage> {
    return this.#engine.snapshot(signal);
  }

  restore(pages: AsyncIterable<readonly RestoredRow[]>, options: RestoreOptions): Promise<RestoreResult> {
    return this.#call(() => this.#engine.restore(pages, options));
  }

  /** The engine is shared: it is closed by who opened it. */
  async close(): Promise<void> {}

  async #call<T>(work: () => Promise<T>): Promise<T> {
    await this.#resumed;
    if (this.#cut.signal.aborted) throw this.#cut.signal.reason;
    const { signal } = this.#cut;
    const result = await work();
    await new Promise<void>((resolve) => setImmediate(resolve)); // on its way back
    await this.#resumed;
    if (signal.aborted) throw signal.reason; // done, but nobody will know
    return result;
  }
}
