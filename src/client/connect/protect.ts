import type { Server, TLSSocket } from 'node:tls';
import type { Clock } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import type { TaskGroup } from '../../lib/task.ts';
import type { OpenConnection, OpenConnections } from '../../sidecar/wire/open-connections.ts';
import { isTrusted, type Peer, type PeerReader, PeerRefused } from '../../sidecar/wire/peer.ts';
import { ignoreError } from '../../sidecar/wire/sockets.ts';
import type { Trust } from '../../sidecar/wire/trust.ts';
import type { Callers } from './callers.ts';
import type { Caller, Refusal } from './types.ts';

export interface ProtectDeps {
  readonly clock: Clock;
  readonly tasks: TaskGroup;
  readonly trust: () => Trust;
  readonly peers: PeerReader;
  readonly callers: Callers;
  readonly open: OpenConnections;
  readonly onRefused: (refusal: Refusal) => void;
}

/** Connections whose callers are being asked about, of one server; more are refused. */
const MAX_PENDING = 1_024;
/** On the socket itself, as the `socket` of an HTTP/2 request is another object that only passes properties on. */
const CALLER = Symbol('isthmus caller');

type Marked = { [CALLER]?: Caller };

export function callerOf(socket: object): Caller | undefined {
  return (socket as Marked)[CALLER];
}

export function callerFrom({ uri, identity }: Peer): Caller {
  return { uri, service: identity.service, datacenter: identity.datacenter };
}

/**
 * Puts itself before everything that listens to `secureConnection`: those of https and http2 are there from the start,
 * so one more listener could only come after them.
 */
export function protectServer(server: Server, deps: ProtectDeps): void {
  const emit = server.emit.bind(server) as (event: string | symbol, ...args: unknown[]) => boolean;
  const admission = new Admission(deps, (socket) => emit('secureConnection', socket));
  const guarded = (event: string | symbol, ...args: unknown[]): boolean => {
    if (event !== 'secureConnection') return emit(event, ...args);
    admission.take(args[0] as TLSSocket);
    return true;
  };
  server.emit = guarded as typeof server.emit;
  server.on('tlsClientError', (error, socket) => {
    deps.onRefused({ from: socket.remoteAddress ?? '', text: `no TLS session: ${error.message}`, wasOpen: false });
  });
}

class Admission {
  readonly #deps: ProtectDeps;
  readonly #admit: (socket: TLSSocket) => void;
  #pending = 0;
  readonly #trustedUnder = new WeakMap<Peer, Trust>();

  constructor(deps: ProtectDeps, admit: (socket: TLSSocket) => void) {
    this.#deps = deps;
    this.#admit = admit;
  }

  take(socket: TLSSocket): void {
    const { tasks } = this.#deps;
    socket.on('error', ignoreError); // the application's own listeners come once it has the socket
    if (tasks.signal.aborted) {
      this.#refuse(socket, 'this application has left the mesh: start() was not called, or stop() was');
      return;
    }
    let peer: Peer;
    try {
      peer = this.#read(socket);
    } catch (error) {
      this.#refuse(socket, IsthmusError.from(error).message);
      return;
    }
    if (this.#pending >= MAX_PENDING) {
      this.#refuse(socket, `more than ${MAX_PENDING} connections wait for the agent's decision`, peer);
      return;
    }
    this.#pending += 1;
    tasks.run('authorize', () => this.#decide(socket, peer));
  }

  /** TLS has verified the chain, under roots that may have changed since. */
  #read(socket: TLSSocket): Peer {
    const { peers, trust, clock } = this.#deps;
    const present = trust();
    const peer = peers.ofAccepted(socket, present, clock.now());
    if (this.#trustedUnder.get(peer) !== present) {
      if (!isTrusted(peer, present.roots, clock.now()))
        throw new PeerRefused('untrusted', 'its root is no longer trusted', peer.uri);
      this.#trustedUnder.set(peer, present);
    }
    return peer;
  }

  async #decide(socket: TLSSocket, peer: Peer): Promise<void> {
    const { callers, open } = this.#deps;
    try {
      const { allowed, reason } = await callers.decide(peer);
      if (socket.destroyed) return;
      if (!allowed) {
        this.#refuse(socket, reason, peer);
        return;
      }
    } catch (error) {
      const why = `the agent could not be asked about the caller: ${IsthmusError.from(error).message}`;
      this.#refuse(socket, why, peer);
      return;
    } finally {
      this.#pending -= 1;
    }
    const connection: OpenConnection = { peer, abort: () => socket.destroy() };
    open.add(connection);
    socket.once('close', () => open.remove(connection));
    (socket as Marked)[CALLER] = callerFrom(peer);
    this.#admit(socket);
  }

  #refuse(socket: TLSSocket, text: string, peer?: Peer): void {
    const caller = peer === undefined ? {} : { caller: callerFrom(peer) };
    this.#deps.onRefused({ ...caller, from: socket.remoteAddress ?? '', text, wasOpen: false });
    socket.destroy();
  }
}
