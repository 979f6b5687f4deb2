import type { Socket } from 'node:net';
import { IsthmusError } from '../../lib/errors.ts';
import type { RefusalReason } from '../refusals.ts';
import type { OpenConnection } from '../wire/open-connections.ts';
import type { Peer } from '../wire/peer.ts';
import { type End, pump } from '../wire/pump.ts';
import { connectTcp, resetSocket, socketEnd } from '../wire/sockets.ts';
import type { InboundDeps } from './deps.ts';
import type { InboundRequests } from './requests.ts';

export type ConnectionDeps = Pick<
  InboundDeps,
  'clock' | 'requests' | 'limits' | 'meters' | 'refusals' | 'authorizer' | 'open' | 'local'
>;

export interface Refused {
  readonly reason: RefusalReason;
  /** For the one who dialled. */
  readonly details: Readonly<Record<string, unknown>>;
}

/** One connection from the mesh to the application: authorized, connected, carried, or ended by a change. */
export class InboundConnection implements OpenConnection {
  readonly peer: Peer;
  readonly #deps: ConnectionDeps;
  readonly #requests: InboundRequests;
  #local: Socket | undefined;
  #resetFar: (() => void) | undefined;
  #aborted = false;

  constructor(peer: Peer, deps: ConnectionDeps, requests: InboundRequests) {
    this.peer = peer;
    this.#deps = deps;
    this.#requests = requests;
  }

  /**
   * Why it may not go on, or undefined. A refusal is counted and logged.
   * @param answers requests in it are taken, so that each that is denied is answered
   */
  admit(answers = false): Refused | undefined {
    const { authorizer, clock, local, open } = this.#deps;
    const { identity, notAfter, uri } = this.peer;
    const decision = authorizer.decide(identity.service, identity.datacenter);
    if (!decision.allowed && !answers) return this.#refuse('denied', authorizer.explain(decision));
    if (clock.now() > notAfter + 999) return this.#refuse('expired', { peer: uri }); // the last second is valid
    if (open.size >= local().maxConnections) return this.#refuse('limit', { limit: 'connections' });
    return undefined;
  }

  /**
   * Connects the application and carries bytes until both sides are done.
   * @param onConnected called before the first byte moves
   * @param onFailed called instead when the application can't be reached
   */
  carry(far: End, onConnected: () => void, onFailed: (refused: Refused) => void): void {
    const { clock, requests, limits, local, meters, open } = this.#deps;
    if (requests() !== undefined) {
      this.#take(far, onConnected);
      return;
    }
    const app = local();
    const { socket, connected } = connectTcp({ ...app, timeoutMs: app.connectTimeoutMs, clock, keepAlive: false });
    this.#local = socket;
    this.#resetFar = far.reset;
    open.add(this);
    const onGone = (): void => {
      socket.destroy(); // rejects `connected`
    };
    far.stream.once('close', onGone);
    connected.then(
      () => {
        far.stream.removeListener('close', onGone);
        if (this.#aborted || far.stream.destroyed) {
          open.remove(this);
          socket.destroy();
          return;
        }
        onConnected();
        meters.opened.add(1, { direction: 'inbound' });
        const near = socketEnd(socket);
        pump(near, far, {
          clock,
          idleTimeoutMs: limits.idleTimeoutMs,
          onClose: (sent, received) => {
            open.remove(this);
            meters.bytes.add(sent, { direction: 'inbound', flow: 'sent' });
            meters.bytes.add(received, { direction: 'inbound', flow: 'received' });
          },
        });
      },
      (error: unknown) => {
        far.stream.removeListener('close', onGone);
        open.remove(this);
        if (this.#aborted || far.stream.destroyed) return;
        onFailed(this.#refuse('local_unreachable', { error: IsthmusError.from(error).message }));
      },
    );
  }

  /** Carries requests: the application is connected for them. */
  #take(far: End, onConnected: () => void): void {
    const { meters, open } = this.#deps;
    this.#resetFar = far.reset;
    open.add(this);
    far.stream.once('close', () => open.remove(this));
    onConnected();
    meters.opened.add(1, { direction: 'inbound' });
    this.#requests.accept(far, this.peer);
  }

  abort(): void {
    this.#aborted = true;
    this.#resetFar?.();
    if (this.#local !== undefined) resetSocket(this.#local);
  }

  #refuse(reason: RefusalReason, details: Readonly<Record<string, unknown>>): Refused {
    const { uri } = this.peer;
    this.#deps.refusals.refuse('inbound', reason, uri, { source: uri, ...details });
    return { reason, details };
  }
}
