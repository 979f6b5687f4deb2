import type { LivingServer, NodeAgentInfo, Nodes, Proved } from '../domain/nodes/nodes.ts';
import { ChangeSignal } from '../lib/change-signal.ts';
import type { Clock } from '../lib/clock.ts';
import { hasCode, IsthmusError } from '../lib/errors.ts';
import { newUuid } from '../lib/ids.ts';
import { PerKeyLimit } from '../lib/per-key-limit.ts';
import type { Service } from '../lib/service.ts';
import { abortable, aborted, linkSignals, sleep } from '../lib/signals.ts';
import { createTaskGroup } from '../lib/task.ts';
import type { Callers } from '../model/rights.ts';
import {
  type AgentHello,
  SESSION_PROTOCOL,
  type SessionMessage,
  type SessionMessageInit,
  type SessionStream,
} from '../rpc/transport/handlers.ts';
import { type HeldLease, holdLease } from '../store/held-lease.ts';
import type { Store } from '../store/store.ts';
import type { Logger, Metrics } from '../telemetry/types.ts';
import { enterSession, type SessionRefusal } from './session-entry.ts';
import { SessionTokens } from './session-tokens.ts';

export interface AgentSessionsDeps {
  readonly datacenter: string;
  /** Absent where access control is off. */
  readonly callers?: Callers;
  /** This server as a member; asked once its listeners are bound. */
  readonly self: () => NodeAgentInfo;
  readonly build: string;
  readonly nodes: Nodes;
  /** An agent has measured its way to this server. */
  readonly measured: (node: string, rttMs: number) => Promise<void>;
  readonly store: Pick<Store, 'leases' | 'onRestore' | 'epoch'>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

export interface AgentSessionsOptions {
  /** A node is lost when nothing was heard of its agent for this long, milliseconds. */
  readonly nodeTimeoutMs: number;
}

/** Sessions of client agents with this server. */
export interface AgentSessions {
  readonly service: Service;
  /** Holds one session until it ends. */
  hold(stream: SessionStream, signal: AbortSignal): Promise<void>;
}

/** For an agent to say and prove who it is, milliseconds. */
const HELLO_MS = 5_000;
/** Heartbeats within the time after which a node is lost. */
const HEARTBEATS = 4;
/**
 * The sessions of a server that died end after so many times the node timeout, less a third for the last time that the
 * lease was kept: an agent notices within three heartbeats, and needs a moment to find another server.
 */
const LEASE_TIMEOUTS = 2;
/** Messages of an agent between two heartbeats; it sends one. */
const MAX_MESSAGES = 64;
/** Characters of a name that was not checked yet, in the log. */
const MAX_LOGGED = 128;

interface Live {
  readonly id: string;
  readonly info: NodeAgentInfo;
  readonly proved: Proved;
  readonly stream: SessionStream;
  silentBeats: number;
  /** What it said since the last heartbeat. */
  messages: number;
  readonly end: (error: IsthmusError) => void;
  /** Its token is followed until this is called. */
  readonly forgetToken: () => void;
}

export function createAgentSessions(deps: AgentSessionsDeps, options: AgentSessionsOptions): AgentSessions {
  return new Sessions(deps, options);
}

class Sessions implements AgentSessions {
  readonly service: Service;
  readonly #deps: AgentSessionsDeps;
  readonly #timeoutMs: number;
  readonly #heartbeatMs: number;
  readonly #leaseMs: number;
  readonly #tasks;
  readonly #live = new Map<string, Live>();
  /** An agent has one session on a connection, and the listener bounds connections. */
  readonly #connections = new PerKeyLimit({ perKey: 1 });
  readonly #serversChanged = new ChangeSignal();
  readonly #tokens: SessionTokens | undefined;
  readonly #ownSession = newUuid();
  #lease: HeldLease | undefined;
  readonly #unhook: (() => void)[] = [];

  constructor(deps: AgentSessionsDeps, options: AgentSessionsOptions) {
    this.#deps = deps;
    this.#timeoutMs = options.nodeTimeoutMs;
    this.#heartbeatMs = Math.max(1, Math.floor(options.nodeTimeoutMs / HEARTBEATS));
    this.#leaseMs = Math.ceil(options.nodeTimeoutMs * LEASE_TIMEOUTS);
    this.#tasks = createTaskGroup({
      clock: deps.clock,
      onError: (task, error, retryInMs) =>
        deps.log.warn('keeping sessions of agents failed', { task, error: error.message, retryInMs }),
    });
    this.#tokens = deps.callers === undefined ? undefined : new SessionTokens(deps.callers);
    this.service = { name: 'sessions of agents', start: () => this.#start(), stop: () => this.#stop() };
    deps.metrics.gauge(
      { name: 'isthmus_server_agent_sessions', help: 'Client agents that have their session with this server.' },
      (set) => set(this.#live.size),
    );
  }

  async hold(stream: SessionStream, signal: AbortSignal): Promise<void> {
    const slot = this.#connections.admit(stream.peer);
    if (slot === undefined) {
      stream.end();
      return;
    }
    try {
      await this.#hold(stream, signal);
    } finally {
      slot.release();
    }
  }

  async #hold(stream: SessionStream, signal: AbortSignal): Promise<void> {
    const linked = linkSignals(signal, this.#tasks.signal);
    const messages = stream.messages[Symbol.asyncIterator]();
    let live: Live | undefined;
    try {
      live = await this.#greet(stream, messages, linked);
      if (live === undefined) return;
      for (;;) {
        const next = await abortable(messages.next(), linked.signal);
        if (next.done === true) break;
        live.silentBeats = 0;
        live.messages += 1;
        if (live.messages > MAX_MESSAGES) throw new IsthmusError('rejected', 'the agent says too much');
        const { message } = next.value;
        if (message.case === 'ping') {
          stream.send({ message: { case: 'pong', value: { number: message.value.number } } });
          if (live.messages === 1) this.#measured(live, message.value.rttUs);
        }
        if (message.case === 'leaving') {
          await this.#deps.nodes.left(live.info.Node, live.id);
          this.#deps.log.info('node left', { node: live.info.Node });
          stream.send({ message: { case: 'leaving', value: {} } });
          return;
        }
      }
    } catch (thrown) {
      const error = IsthmusError.from(thrown);
      if (error.code !== 'cancelled' && error.code !== 'unavailable')
        this.#deps.log.warn('session of an agent ended', { peer: stream.peer, error: error.message });
    } finally {
      linked.release();
      if (this.#tasks.signal.aborted) stream.send({ message: { case: 'leaving', value: {} } });
      stream.end();
      if (live !== undefined) this.#ended(live);
    }
  }

  /** Takes the agent's hello; undefined when the session is refused. */
  async #greet(
    stream: SessionStream,
    messages: AsyncIterator<SessionMessage>,
    linked: { readonly signal: AbortSignal; abort(reason: unknown): void },
  ): Promise<Live | undefined> {
    const { clock, nodes } = this.#deps;
    const limit = clock.after(HELLO_MS, () => linked.abort(new IsthmusError('deadline', 'the agent said no hello')));
    try {
      const next = await abortable(messages.next(), linked.signal);
      if (next.done === true || next.value.message.case !== 'hello') return undefined;
      const hello = next.value.message.value;
      const said = async (): Promise<SessionMessage | undefined> => {
        const answer = await abortable(messages.next(), linked.signal);
        return answer.done === true ? undefined : answer.value;
      };
      const boundKey = (node: string): string | undefined => nodes.member(node)?.Key;
      const withId = (nodeId: string): readonly string[] => nodes.withId(nodeId);
      const entered = await enterSession({ ...this.#deps, boundKey, withId }, hello, stream, said, linked.signal);
      if ('refusal' in entered) return this.#refuse(stream, hello, entered.refusal);
      const { info, proved } = entered;
      const id = newUuid();
      try {
        await nodes.begin(info, id, this.#livingLease(), proved);
      } catch (thrown) {
        if (!hasCode(thrown, 'rejected')) throw thrown;
        return this.#refuse(stream, hello, { reason: 'name', message: thrown.message });
      }
      const end = (error: IsthmusError): void => linked.abort(error);
      const refuse = (refusal: SessionRefusal): void => {
        stream.send({ message: { case: 'refusal', value: refusal } });
        end(new IsthmusError('permission_denied', refusal.message));
      };
      const forgetToken = this.#tokens?.follow({ node: info.Node, token: hello.token, refuse }) ?? (() => undefined);
      const live: Live = { id, info, proved, stream, silentBeats: 0, messages: 0, end, forgetToken };
      this.#live.set(id, live);
      stream.send(this.#welcome());
      return live;
    } finally {
      limit.cancel();
    }
  }

  /** @param rttUs 0 as long as nothing was measured */
  #measured({ info }: Live, rttUs: number): void {
    if (rttUs > 0) this.#tasks.run(`distance of ${info.Node}`, () => this.#deps.measured(info.Node, rttUs / 1_000));
  }

  #livingLease(): string {
    if (this.#lease === undefined || this.#lease.lost.aborted)
      throw new IsthmusError('unavailable', 'this server takes no sessions yet');
    return this.#lease.id;
  }

  #refuse(stream: SessionStream, { node }: AgentHello, refusal: SessionRefusal): undefined {
    this.#deps.log.warn('refused an agent', {
      peer: stream.peer,
      node: node.slice(0, MAX_LOGGED),
      reason: refusal.message,
    });
    stream.send({ message: { case: 'refusal', value: refusal } });
    return undefined;
  }

  #welcome(): SessionMessageInit {
    const { datacenter, build, nodes } = this.#deps;
    const self = this.#deps.self();
    const servers = nodes.servers().map(({ node, nodeId, address, port }: LivingServer) => ({
      node,
      nodeId,
      address: { host: address, port },
    }));
    const value = {
      protocol: SESSION_PROTOCOL,
      datacenter,
      node: self.Node,
      nodeId: self.ID,
      build,
      heartbeatMs: this.#heartbeatMs,
      timeoutMs: this.#timeoutMs,
      servers,
      epoch: this.#deps.store.epoch,
    };
    return { message: { case: 'welcome', value } };
  }

  /** The node may be on its way to another server, or back: it is lost only when it does not come in time. */
  #ended(live: Live): void {
    this.#live.delete(live.id);
    live.forgetToken();
    const { clock, nodes, log } = this.#deps;
    const silentMs = Math.min(Math.max(0, live.silentBeats - 1) * this.#heartbeatMs, this.#timeoutMs); // at least
    this.#tasks.run(`return of ${live.info.Node}`, async (signal) => {
      await sleep(clock, this.#timeoutMs - silentMs, signal);
      if (await nodes.lost(live.info.Node, live.id)) log.warn('node lost', { node: live.info.Node });
    });
  }

  async #start(): Promise<void> {
    this.#unhook.push(
      this.#deps.nodes.onChange(() => this.#serversChanged.notify()),
      // A snapshot holds no sessions: whoever has one has it still.
      this.#deps.store.onRestore(() => this.#tasks.run('sessions after a restore', () => this.#onRestore())),
    );
    let announced = serverNames(this.#deps.nodes);
    this.#serversChanged.subscribe(() => {
      const now = serverNames(this.#deps.nodes);
      if (now === announced) return;
      announced = now;
      for (const { stream } of this.#live.values()) stream.send(this.#welcome());
    });
    await this.#renewLease();
    this.#tasks.loop('lease', { backoff: { baseMs: 100, maxMs: 1_000 } }, async (signal) => {
      const lease = this.#lease;
      if (lease !== undefined && !lease.lost.aborted) await aborted(AbortSignal.any([lease.lost, signal]));
      if (signal.aborted) return;
      this.#deps.log.warn('the lease of this server’s sessions was lost: they are written down anew');
      await this.#renewLease();
    });
    this.#tokens?.start(this.#tasks, this.#deps.clock, this.#heartbeatMs);
    this.#tasks.loop('heartbeats', { pauseMs: this.#heartbeatMs }, async () => this.#beat());
  }

  async #stop(): Promise<void> {
    for (const unhook of this.#unhook.splice(0)) unhook();
    await this.#tasks.stop();
  }

  /** Silence is counted in beats: a server that slept does not take its agents for dead. */
  #beat(): void {
    for (const live of this.#live.values()) {
      if (live.silentBeats * this.#heartbeatMs >= this.#timeoutMs)
        live.end(new IsthmusError('unavailable', 'nothing heard of the agent any more'));
      live.silentBeats += 1;
      live.messages = 0;
    }
  }

  /** A new lease, for this server and all that have a session with it. */
  async #renewLease(): Promise<void> {
    const { store, clock } = this.#deps;
    this.#lease = await holdLease({ leases: store.leases, clock, tasks: this.#tasks }, this.#leaseMs);
    await this.#writeAll();
  }

  async #onRestore(): Promise<void> {
    await this.#writeAll();
    for (const { stream } of this.#live.values()) stream.send(this.#welcome());
  }

  async #writeAll(): Promise<void> {
    const { nodes } = this.#deps;
    const lease = this.#livingLease();
    await nodes.begin(this.#deps.self(), this.#ownSession, lease);
    for (const { info, id, proved, end } of this.#live.values()) {
      try {
        await nodes.begin(info, id, lease, proved);
      } catch (thrown) {
        if (!hasCode(thrown, 'rejected')) throw thrown;
        end(thrown); // the node belongs to another one by now, or did so in the snapshot
      }
    }
  }
}

function serverNames(nodes: Nodes): string {
  return JSON.stringify(nodes.servers());
}
