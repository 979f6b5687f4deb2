import { setMaxListeners } from 'node:events';
import { create } from '@bufbuild/protobuf';
import { type ClientDuplexStream, Metadata, type MethodDefinition, status } from '@grpc/grpc-js';
import { Backoff } from '../../lib/backoff.ts';
import type { Clock } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { abortReason, linkSignals, sleep, withDeadline } from '../../lib/signals.ts';
import type { Logger } from '../../telemetry/types.ts';
import type { EngineContact } from '../engine.ts';
import { Connection, type EtcdTls } from './connection.ts';
import type { Endpoint } from './endpoint.ts';
import { CallFailure } from './failure.ts';
import { AuthenticateRequestSchema } from './gen/etcdserverpb/etcd_pb.ts';
import type { EtcdMeters } from './meters.ts';
import { METHODS } from './wire.ts';

export interface ClientOptions {
  readonly endpoints: readonly Endpoint[];
  readonly tls: EtcdTls;
  /** '' where etcd has no access control. */
  readonly username: string;
  readonly password: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly meters: EtcdMeters;
}

/** One call may take this long at one member, milliseconds: a paused one must not hold anybody up. */
const ATTEMPT_MS = 2_000;
/** What fails is tried again for this long, milliseconds; not while etcd is known to be out of reach. */
const PATIENCE_MS = 6_000;
/** etcd is out of reach once no member has answered for this long, milliseconds: longer than an election. */
const LOST_MS = 5_000;
/** Reasons for waiting that are reported, at most. */
const MAX_REASONS = 20;
/** A lone member is connected to anew, with its certificates read again, at most this often, milliseconds. */
const RECONNECT_MS = 1_000;
/** With it, a member that has lost the others says so at once. */
const PLAIN = new Metadata();
PLAIN.set('hasleader', 'true');
const BACKOFF = { baseMs: 20, maxMs: 500 };

/**
 * Speaks to one member of the cluster at a time, for everything, and goes on to the next one when it fails: then all
 * calls and watches move together, and whether this one answers tells whether the watches are alive.
 */
export class EtcdClient {
  readonly #options: ClientOptions;
  readonly #closed = new AbortController();
  #connection: Connection;
  #active = 0;
  #token: Promise<Metadata> | undefined;
  #connectedAt = 0;
  #lastContact: number;
  /** Failures since the last answer. */
  #failures = 0;
  #lostAt: number | undefined;
  /** False while the store is being opened: whoever waits for that reports failures. */
  #opened = false;

  constructor(options: ClientOptions) {
    this.#options = options;
    setMaxListeners(0, this.#closed.signal); // each call has one
    this.#lastContact = options.clock.steady();
    this.#connection = this.#connect();
  }

  get endpoint(): string {
    return this.#connection.endpoint.name;
  }

  get meters(): EtcdMeters {
    return this.#options.meters;
  }

  /** Aborts when the client is closed. */
  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  contact(): EngineContact {
    const connected = this.#lostAt === undefined;
    return {
      connected,
      writable: connected,
      lastMs: Math.max(0, this.#options.clock.steady() - this.#lastContact),
    };
  }

  /** One try at the present member. Rejects with a {@link CallFailure}. */
  async attempt<I, O>(method: MethodDefinition<I, O>, request: I): Promise<O> {
    const { clock, meters } = this.#options;
    const connection = this.#connection;
    const deadline = clock.now() + ATTEMPT_MS;
    const started = performance.now();
    try {
      const metadata = await this.#metadata(connection);
      const reply = await connection.unary(method, request, metadata, deadline);
      meters.seconds.observe((performance.now() - started) / 1_000, { method: method.path.slice(1) });
      this.answered();
      return reply;
    } catch (thrown) {
      const failure = CallFailure.of(connection.endpoint.name, thrown);
      if (failure.code !== status.DEADLINE_EXCEEDED) throw failure;
      throw new CallFailure(failure.endpoint, failure.code, `no answer within ${ATTEMPT_MS} ms`);
    }
  }

  /**
   * Runs `work`, which makes attempts, again and again at one member after the other, until it succeeds, fails for
   * good, or has failed for too long. Rejects with an {@link IsthmusError}. `what` says what it does: `read the store`.
   */
  async run<T>(what: string, work: (attempt: number) => Promise<T>, signal?: AbortSignal): Promise<T> {
    const { clock, endpoints } = this.#options;
    const backoff = this.newBackoff();
    const started = clock.steady();
    for (let attempt = 1; ; attempt += 1) {
      this.#check(signal);
      try {
        return await work(attempt);
      } catch (thrown) {
        this.#check(signal);
        if (!(thrown instanceof CallFailure)) throw thrown;
        const refused = thrown.kind === 'final' || (thrown.kind === 'token' && !this.#renewable(attempt));
        if (refused) throw thrown.toError(what);
        this.failed(thrown);
        // While nothing answers, one round is enough to tell.
        const patience = this.#opened && this.contact().connected ? PATIENCE_MS : 0;
        if (attempt >= endpoints.length && clock.steady() - started >= patience) throw thrown.toError(what);
      }
      await this.pause(backoff.next(), signal);
    }
  }

  /** One call that may be made twice without harm. */
  call<I, O>(what: string, method: MethodDefinition<I, O>, request: I, signal?: AbortSignal): Promise<O> {
    return this.run(what, () => this.attempt(method, request), signal);
  }

  /** A stream at the present member; it ends when the member is left. */
  async stream<I, O>(
    method: MethodDefinition<I, O>,
  ): Promise<{ readonly call: ClientDuplexStream<I, O>; readonly endpoint: string }> {
    const connection = this.#connection;
    const metadata = await this.#metadata(connection);
    return { call: connection.duplex(method, metadata), endpoint: connection.endpoint.name };
  }

  /** One question and its answer over a method that streams. One try, as {@link attempt}. */
  async exchange<I, O>(method: MethodDefinition<I, O>, request: I): Promise<O> {
    const limit = withDeadline(this.#options.clock, ATTEMPT_MS, 'a call of etcd', this.closed);
    let { endpoint } = this;
    let cancel = (): void => undefined;
    try {
      const opened = await this.stream(method);
      const { call } = opened;
      endpoint = opened.endpoint;
      cancel = () => call.cancel();
      limit.signal.addEventListener('abort', cancel, { once: true });
      call.write(request);
      for await (const reply of call) {
        this.answered();
        return reply as O;
      }
      throw new CallFailure(endpoint, status.UNAVAILABLE, 'the stream ended');
    } catch (thrown) {
      throw CallFailure.of(endpoint, thrown);
    } finally {
      limit.signal.removeEventListener('abort', cancel);
      limit.release();
      cancel();
    }
  }

  /**
   * Runs `work` until etcd could be asked, however long that takes; tells each reason once.
   * What etcd refuses for good is thrown.
   */
  async untilReached<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    const { clock, log, endpoints } = this.#options;
    const backoff = this.newBackoff();
    const started = clock.steady();
    const told = new Set<string>();
    for (;;) {
      try {
        const result = await work();
        this.#opened = true;
        const after = { endpoint: this.endpoint, after_seconds: (clock.steady() - started) / 1_000 };
        if (told.size > 0) log.info('etcd answers', after);
        return result;
      } catch (thrown) {
        const failure = thrown instanceof IsthmusError ? thrown.cause : undefined;
        if (!(failure instanceof CallFailure) || failure.kind === 'final' || failure.kind === 'token') throw thrown;
        if (!told.has(failure.details) && told.size < MAX_REASONS) {
          told.add(failure.details);
          log.warn('waiting for etcd', { endpoints: endpoints.map(({ name }) => name), error: failure.message });
        }
      }
      await this.pause(backoff.next(), signal);
    }
  }

  /** The next call asks for another token. */
  renewToken(): void {
    this.#token = undefined;
  }

  newBackoff(): Backoff {
    return new Backoff(BACKOFF);
  }

  /** Told whenever a member has answered. */
  answered(): void {
    const { clock, log } = this.#options;
    this.#lastContact = clock.steady();
    this.#failures = 0;
    if (this.#lostAt === undefined) return;
    if (this.#opened)
      log.info('etcd is back', { endpoint: this.endpoint, after_seconds: (clock.steady() - this.#lostAt) / 1_000 });
    this.#lostAt = undefined;
  }

  /** Told of every failure that another member, or a later try, may heal. */
  failed(failure: CallFailure): void {
    const { clock, log, endpoints, meters } = this.#options;
    if (failure.kind === 'token') {
      this.renewToken();
      return;
    }
    if (failure.kind === 'busy' || this.closed.aborted) return;
    const connection = this.#connection;
    if (failure.endpoint !== connection.endpoint.name) return; // it was left meanwhile
    meters.failures.add(1, { endpoint: failure.endpoint });
    this.#failures += 1;
    const silent = clock.steady() - this.#lastContact >= LOST_MS;
    if (silent && this.#failures >= endpoints.length && this.#lostAt === undefined) {
      this.#lostAt = clock.steady();
      if (this.#opened)
        log.warn('etcd is out of reach: writes fail and reads may be old until it is back', {
          endpoint: failure.endpoint,
          error: failure.details,
        });
    }
    // gRPC connects to a lone member again by itself, but with the certificates that it was given.
    const renew = connection.endpoint.secure && clock.steady() - this.#connectedAt >= RECONNECT_MS;
    if (endpoints.length === 1 && !renew) return;
    this.#active = (this.#active + 1) % endpoints.length;
    try {
      this.#connection = this.#connect();
    } catch (error) {
      // Files that are being replaced: the next failure tries again.
      log.warn('no connection to etcd can be made', { error: IsthmusError.from(error).message });
      return;
    }
    connection.close();
    log.debug('another etcd member is used', {
      endpoint: this.endpoint,
      left: failure.endpoint,
      error: failure.details,
    });
  }

  async pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
    const linked = linkSignals(this.closed, signal);
    try {
      await sleep(this.#options.clock, ms, linked.signal);
    } finally {
      linked.release();
    }
  }

  close(): void {
    if (this.closed.aborted) return;
    this.#closed.abort(new IsthmusError('unavailable', 'the store is closed'));
    this.#connection.close();
  }

  #check(signal: AbortSignal | undefined): void {
    if (this.closed.aborted) throw abortReason(this.closed);
    if (signal?.aborted) throw abortReason(signal);
  }

  #connect(): Connection {
    const { endpoints, tls, meters, clock } = this.#options;
    const endpoint = endpoints[this.#active] as Endpoint;
    meters.use(endpoint.name);
    this.#connectedAt = clock.steady();
    return new Connection(endpoint, tls);
  }

  #renewable(attempt: number): boolean {
    return this.#options.username !== '' && attempt < 5;
  }

  async #metadata(connection: Connection): Promise<Metadata> {
    const { username, password } = this.#options;
    if (username === '') return PLAIN;
    if (this.#token === undefined) {
      const token = this.#authenticate(connection, username, password);
      this.#token = token;
      token.catch(() => {
        if (this.#token === token) this.#token = undefined;
      });
    }
    return this.#token;
  }

  /** The metadata of calls by this user. */
  async #authenticate(connection: Connection, name: string, password: string): Promise<Metadata> {
    const request = create(AuthenticateRequestSchema, { name, password });
    const deadline = this.#options.clock.now() + ATTEMPT_MS;
    try {
      const { token } = await connection.unary(METHODS.authenticate, request, new Metadata(), deadline);
      const metadata = PLAIN.clone();
      metadata.set('token', token);
      return metadata;
    } catch (thrown) {
      if (thrown instanceof CallFailure && thrown.is('authentication is not enabled')) return PLAIN;
      throw thrown;
    }
  }
}
