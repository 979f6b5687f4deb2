import type { Clock } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { abortable, linkSignals, withDeadline } from '../../lib/signals.ts';
import { createTaskGroup } from '../../lib/task.ts';
import type { ServerContract } from '../../rpc/contract/contract.ts';
import type { SnapshotContract } from '../../rpc/contract/snapshots.ts';
import { createChannel, type RpcChannel } from '../../rpc/transport/channel.ts';
import type { AgentHelloInit, SessionMessage, SessionStream, Welcome } from '../../rpc/transport/handlers.ts';
import { Heartbeat } from '../../rpc/transport/heartbeat.ts';
import { createRemoteContract } from '../../rpc/transport/remote-contract.ts';
import type { TransportSecurity } from '../../rpc/transport/security.ts';
import { createRemoteSnapshots } from '../../rpc/transport/snapshots-wire.ts';

/** What the agent says of itself; the session adds the key. */
export type AgentHello = AgentHelloInit & Readonly<Record<'datacenter' | 'node' | 'nodeId', string>>;

/** The key that the node is bound to. */
export interface OwnKey {
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKey: Uint8Array;
  /** Signs a server's challenge. */
  prove(claim: Readonly<Record<'datacenter' | 'node' | 'nodeId', string>> & { readonly nonce: Uint8Array }): Uint8Array;
}

export interface ServerSessionDeps {
  readonly hello: () => AgentHello;
  /** Absent: the agent proves nothing. */
  readonly key?: OwnKey;
  /** The datacenter whose server must answer. */
  readonly datacenter: string;
  readonly security?: TransportSecurity;
  readonly clock: Clock;
  /** Milliseconds that never go back, with fractions. */
  readonly monotonicMs: () => number;
  /** Called with each Welcome but the first, and the one before it. */
  readonly onWelcome: (welcome: Welcome, before: Welcome) => void;
}

/** From dialling until the server has answered, milliseconds. */
const HANDSHAKE_MS = 3_000;
/** A server that asks for heartbeats more often than this gets them this often, milliseconds. */
const SHORTEST_HEARTBEAT_MS = 10;
/** Heartbeats without an answer after which the server counts as gone. */
const MISSED_HEARTBEATS = 2;
/** Longest wait for the server to confirm a departure, milliseconds. */
const FAREWELL_MS = 3_000;

/** One session with one server, from dialling to its end. All calls go over the same connection. */
export class ServerSession {
  readonly address: string;
  readonly contract: ServerContract;
  readonly snapshots: SnapshotContract;
  /** Resolves with the reason when it is over. */
  readonly ended: Promise<IsthmusError>;
  readonly #deps: ServerSessionDeps;
  readonly #channel: RpcChannel;
  readonly #life = linkSignals();
  readonly #tasks;
  readonly #stream: SessionStream;
  readonly #heartbeat: Heartbeat;
  #welcome: Welcome | undefined;
  #farewell: (() => void) | undefined;

  private constructor(deps: ServerSessionDeps, address: string) {
    const { clock, security } = deps;
    this.#deps = deps;
    this.address = address;
    this.#channel = createChannel({
      address,
      datacenter: deps.datacenter,
      ...(security === undefined ? {} : { security }),
    });
    this.contract = createRemoteContract({ channel: this.#channel, clock });
    this.snapshots = createRemoteSnapshots(this.#channel);
    this.#heartbeat = new Heartbeat(deps.monotonicMs);
    this.#stream = this.#channel.session(this.#life.signal);
    this.#tasks = createTaskGroup({ clock, onError: (_task, error) => this.close(error) });
    this.ended = new Promise((resolve) => {
      this.#life.signal.addEventListener('abort', () => resolve(this.#life.signal.reason), { once: true });
    });
  }

  /** Resolves once the server has taken the session; throws with why it has not. */
  static async open(deps: ServerSessionDeps, address: string, signal: AbortSignal): Promise<ServerSession> {
    const session = new ServerSession(deps, address);
    const limit = withDeadline(deps.clock, HANDSHAKE_MS, `the session with ${address}`, signal);
    try {
      await session.#greet(limit.signal);
      return session;
    } catch (error) {
      session.close(IsthmusError.from(error));
      throw error;
    } finally {
      limit.release();
    }
  }

  get welcome(): Welcome {
    return this.#welcome as Welcome;
  }

  get alive(): boolean {
    return !this.#life.signal.aborted;
  }

  /** Smoothed round-trip time, milliseconds; undefined before the first answer. */
  get rttMs(): number | undefined {
    return this.#heartbeat.rttMs;
  }

  /** Says that the node leaves for good; resolves once the server has written it down, or after a while. */
  async leave(): Promise<void> {
    const said = new Promise<void>((resolve) => {
      this.#farewell = resolve;
    });
    const limit = withDeadline(this.#deps.clock, FAREWELL_MS, 'leaving', this.#life.signal);
    this.#stream.send({ message: { case: 'leaving', value: {} } });
    try {
      await abortable(said, limit.signal);
    } finally {
      limit.release();
    }
  }

  /** Every open call fails with the reason. */
  close(reason = new IsthmusError('unavailable', `the session with ${this.address} was closed`)): void {
    if (this.#life.signal.aborted) return;
    this.#life.abort(reason);
    this.#stream.end();
    this.#channel.close(reason);
    this.#tasks.cancel();
  }

  /** Sends the hello and reads until the welcome; what comes after it is read in the background. */
  async #greet(signal: AbortSignal): Promise<void> {
    const { hello, key } = this.#deps;
    const said = hello();
    const publicKey = key?.publicKey ?? new Uint8Array();
    this.#stream.send({ message: { case: 'hello', value: { ...said, publicKey } } });
    const messages = this.#stream.messages[Symbol.asyncIterator]();
    while (this.#welcome === undefined) {
      const next = await abortable(messages.next(), signal);
      if (next.done === true) throw new IsthmusError('unavailable', `${this.address} ended the session`);
      const { message } = next.value;
      if (message.case !== 'challenge') this.#onMessage(next.value);
      else if (key !== undefined) {
        const { datacenter, node, nodeId } = said;
        const signature = key.prove({ datacenter, node, nodeId, nonce: message.value.nonce });
        this.#stream.send({ message: { case: 'proof', value: { signature } } });
      }
    }
    const heartbeatMs = Math.max(SHORTEST_HEARTBEAT_MS, this.#welcome.heartbeatMs);
    this.#tasks.run('session', async () => {
      for (;;) {
        const next = await messages.next();
        if (next.done === true) throw new IsthmusError('unavailable', `${this.address} ended the session`);
        this.#onMessage(next.value);
      }
    });
    this.#tasks.loop('heartbeat', { pauseMs: heartbeatMs }, async () => this.#beat());
  }

  #onMessage({ message }: SessionMessage): void {
    this.#heartbeat.heard();
    switch (message.case) {
      case 'welcome': {
        const before = this.#welcome;
        this.#welcome = message.value;
        if (before !== undefined) this.#deps.onWelcome(message.value, before);
        return;
      }
      case 'pong':
        this.#heartbeat.pong(message.value.number);
        return;
      case 'refusal':
        throw new IsthmusError('rejected', message.value.message);
      case 'leaving':
        if (this.#farewell === undefined) throw new IsthmusError('unavailable', `${this.address} stops`);
        this.#farewell();
        return;
      default: // a message of a later version
    }
  }

  #beat(): void {
    if (this.#heartbeat.beat() >= MISSED_HEARTBEATS)
      throw new IsthmusError('unavailable', `nothing heard from ${this.address} any more`);
    const rttUs = Math.min(Math.round((this.rttMs ?? 0) * 1_000), 0xffffffff);
    this.#stream.send({ message: { case: 'ping', value: { number: this.#heartbeat.ping(), rttUs } } });
  }
}
