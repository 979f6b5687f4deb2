import { formatAddress, isDialable } from '../../lib/address.ts';
import { Backoff } from '../../lib/backoff.ts';
import { ChangeSignal } from '../../lib/change-signal.ts';
import type { Clock } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { Failure } from '../../lib/failure.ts';
import type { Service } from '../../lib/service.ts';
import { abortable, sleep, withDeadline } from '../../lib/signals.ts';
import { createTaskGroup } from '../../lib/task.ts';
import type { Welcome } from '../../rpc/transport/handlers.ts';
import type { TransportSecurity } from '../../rpc/transport/security.ts';
import type { Logger, Metrics } from '../../telemetry/types.ts';
import type { KnownServer, ServerList } from './server-list.ts';
import { type AgentHello, type OwnKey, ServerSession, type ServerSessionDeps } from './server-session.ts';

export interface ServerSessionsDeps {
  readonly datacenter: string;
  readonly servers: ServerList;
  readonly hello: () => AgentHello;
  readonly key?: OwnKey;
  readonly security?: TransportSecurity;
  readonly clock: Clock;
  readonly monotonicMs: () => number;
  /** Chance in [0, 1). */
  readonly random: () => number;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Called when a session was made, or its server's store restored: what is known there of this node may be old. */
  readonly onSession: () => void;
}

export interface ServerSessionsOptions {
  /** Longest pause between two rounds before the first session, milliseconds. */
  readonly retryIntervalMs: number;
  /** Rounds before the first session; 0 never gives up. */
  readonly retryMax: number;
  /** Longest wait of the start for a first session, milliseconds. Default 5,000. */
  readonly startMs?: number;
  /** An agent moves to a server that has come within this time, milliseconds. Default 10,000. */
  readonly moveWithinMs?: number;
}

/** Longest pause between two rounds of an agent that had a session before, milliseconds. */
const RECONNECT_MS = 3_000;
/** A session that held this long was no accident, milliseconds: the next is looked for without a pause. */
const STEADY_MS = 5_000;

/**
 * The agent's session with one server of its datacenter, whichever that is. A lost session is followed by one with
 * another server at once; a server that has come takes over its share of the agents.
 */
export class ServerSessions implements Service {
  readonly name = 'session with a server';
  readonly #failure = new Failure();
  /** Called when no server was found in as many tries as it may make. */
  readonly onFailure = this.#failure.onFailure;
  readonly #deps: ServerSessionsDeps;
  readonly #options: ServerSessionsOptions;
  readonly #tasks;
  readonly #changes = new ChangeSignal();
  #session: ServerSession | undefined;
  #lostAt: number | undefined;
  #lostAddress: string | undefined;
  #problem = 'not joined yet: name a server with -retry-join';

  constructor(deps: ServerSessionsDeps, options: ServerSessionsOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#tasks = createTaskGroup({
      clock: deps.clock,
      onError: (task, error) => deps.log.error('session task failed', { task, error: error.message }),
    });
    deps.metrics.gauge(
      { name: 'isthmus_agent_server_session', help: '1 while this agent has a session with a server, else 0.' },
      (set) => set(this.#session === undefined ? 0 : 1),
    );
    deps.metrics.gauge(
      {
        name: 'isthmus_agent_server_round_trip_seconds',
        help: 'Smoothed round-trip time to the server of the session.',
      },
      (set) => {
        const rtt = this.#session?.rttMs;
        if (rtt !== undefined) set(rtt / 1_000);
      },
    );
  }

  get current(): ServerSession | undefined {
    return this.#session;
  }

  /** Why there is no session. */
  get problem(): string {
    return this.#problem;
  }

  /** Resolves once the first round of tries is over, so that whoever starts after it has a server if there is one. */
  async start(signal: AbortSignal): Promise<void> {
    this.#tasks.run('sessions', (stopping) => this.#run(stopping));
    const limit = withDeadline(this.#deps.clock, this.#options.startMs ?? 5_000, 'the first session', signal);
    try {
      await this.#changes.next(limit.signal);
    } catch (error) {
      if (signal.aborted) throw error; // else it goes on without a server
    } finally {
      limit.release();
    }
  }

  async stop(): Promise<void> {
    await this.#tasks.stop();
    this.#session?.close();
  }

  /** The session, or the next one. */
  async connected(signal: AbortSignal): Promise<ServerSession> {
    while (this.#session === undefined) await this.#changes.next(signal);
    return this.#session;
  }

  /** Tries an address at once; throws with the reason when no session comes about. */
  async join(address: string, signal: AbortSignal): Promise<void> {
    const session = await ServerSession.open(this.#sessionDeps(), address, signal);
    this.#deps.servers.add(address);
    if (this.#session === undefined) this.#use(session);
    else session.close();
  }

  /** Tells the server that the node leaves for good, and stops. */
  async leave(): Promise<void> {
    const session = this.#session;
    await this.#tasks.stop();
    await session?.leave();
    session?.close();
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#deps;
    const first = new Backoff({ baseMs: 250, maxMs: this.#options.retryIntervalMs, random: this.#deps.random });
    const again = new Backoff({ baseMs: 50, maxMs: RECONNECT_MS, random: this.#deps.random });
    let rounds = 0;
    let joined = false;
    /** Of this outage. */
    let logged = false;
    while (!signal.aborted) {
      const session = this.#session ?? (await this.#round(signal));
      if (session !== undefined) {
        joined = true;
        logged = false;
        const since = clock.steady();
        await this.#hold(signal);
        if (clock.steady() - since >= STEADY_MS) {
          again.reset();
          continue;
        }
      } else {
        if (!logged) log.warn('no server is reached', { error: this.#problem });
        logged = true;
        rounds += joined ? 0 : 1;
        const { retryMax } = this.#options;
        if (!joined && retryMax > 0 && rounds >= retryMax) {
          this.#failure.report(
            new IsthmusError('unavailable', `no server was found in ${rounds} tries: ${this.#problem}`),
          );
          return;
        }
      }
      const pause = (joined ? again : first).next();
      await sleep(clock, pause, signal).catch(() => undefined); // only an abort rejects it
    }
  }

  /** Tries all known servers; undefined when none took the session. */
  async #round(signal: AbortSignal): Promise<ServerSession | undefined> {
    const failures: string[] = [];
    for (const address of this.#deps.servers.candidates(this.#lostAddress)) {
      if (signal.aborted) return undefined;
      try {
        const session = await ServerSession.open(this.#sessionDeps(), address, signal);
        this.#use(session);
        return session;
      } catch (error) {
        failures.push(IsthmusError.from(error).message);
      }
    }
    if (failures.length > 0) this.#problem = failures.join('; ');
    this.#changes.notify();
    return undefined;
  }

  #sessionDeps(): ServerSessionDeps {
    const { datacenter, hello, key, security, clock, monotonicMs } = this.#deps;
    return {
      datacenter,
      hello,
      ...(key === undefined ? {} : { key }),
      ...(security === undefined ? {} : { security }),
      clock,
      monotonicMs,
      onWelcome: (welcome, before) => {
        if (welcome.epoch !== before.epoch) this.#deps.onSession();
        this.#onServers(this.#deps.servers.learn(serversOf(welcome)), welcome.servers.length);
      },
    };
  }

  #use(session: ServerSession): void {
    const { clock, servers, log } = this.#deps;
    this.#session = session;
    const without = this.#lostAt === undefined ? {} : { withoutMs: Math.round(clock.steady() - this.#lostAt) };
    this.#lostAt = undefined;
    log.info('session with a server', { server: session.welcome.node, peer: session.address, ...without });
    servers.learn(serversOf(session.welcome));
    this.#changes.notify();
    this.#deps.onSession();
  }

  /** Until there is no session; it may have moved meanwhile. */
  async #hold(signal: AbortSignal): Promise<void> {
    for (let session = this.#session; session !== undefined; session = this.#session) {
      const reason = await abortable(session.ended, signal);
      if (this.#session !== session) continue;
      this.#session = undefined;
      this.#lostAt = this.#deps.clock.steady();
      this.#lostAddress = session.address;
      this.#problem = reason.message;
      this.#deps.log.warn('session lost', { peer: session.address, reason: reason.message });
    }
  }

  /** Of n servers each new one takes one agent in n: all have as many then, and no other agent moves. */
  #onServers(fresh: readonly KnownServer[], count: number): void {
    const { random, clock } = this.#deps;
    for (const server of fresh) {
      if (random() * count >= 1) continue;
      this.#tasks.run('move to a new server', async (signal) => {
        await sleep(clock, random() * (this.#options.moveWithinMs ?? 10_000), signal);
        await this.#moveTo(server.address, signal);
      });
      return;
    }
  }

  /** The new session is there before the old one is closed. */
  async #moveTo(address: string, signal: AbortSignal): Promise<void> {
    const before = this.#session;
    if (before === undefined || before.address === address) return;
    const session = await ServerSession.open(this.#sessionDeps(), address, signal);
    if (this.#session === undefined || signal.aborted) {
      session.close();
      return;
    }
    const old = this.#session;
    this.#use(session);
    old.close(new IsthmusError('unavailable', 'the session moved to another server'));
  }
}

function serversOf({ servers }: Welcome): readonly KnownServer[] {
  return servers.flatMap(({ node, nodeId, address }) =>
    address === undefined || !isDialable({ address: address.host, port: address.port })
      ? []
      : [{ node, nodeId, address: formatAddress({ address: address.host, port: address.port }) }],
  );
}
