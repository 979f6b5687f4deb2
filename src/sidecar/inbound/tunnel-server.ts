import {
  type IncomingHttpHeaders,
  performServerHandshake,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { Clock, Timer } from '../../lib/clock.ts';
import type { SidecarLimits } from '../limits.ts';
import type { OpenConnection } from '../wire/open-connections.ts';
import type { Peer } from '../wire/peer.ts';
import { ignoreError, resetTls } from '../wire/sockets.ts';
import {
  HEADER_DETAILS,
  HEADER_REASON,
  resetStream,
  SESSION_MEMORY_MB,
  SESSION_WINDOW,
  STATUS,
  streamEnd,
  TUNNEL_SETTINGS,
} from '../wire/tunnel.ts';
import { type ConnectionDeps, InboundConnection, type Refused } from './connection.ts';
import type { InboundRequests } from './requests.ts';

export type TunnelServerDeps = ConnectionDeps & {
  readonly clock: Clock;
  readonly limits: SidecarLimits;
  readonly taking: InboundRequests;
  /** Called for each stream that is let through. */
  readonly onUsed: () => void;
  readonly onClosed: () => void;
};

/** The accepting end of one tunnel. The identity is the tunnel's; each stream is authorized by itself. */
export class TunnelServer implements OpenConnection {
  readonly peer: Peer;
  readonly #tls: TLSSocket;
  readonly #raw: Socket;
  readonly #session: ServerHttp2Session;
  readonly #deps: TunnelServerDeps;
  #timer: Timer;
  #gone = false;

  constructor(tls: TLSSocket, raw: Socket, peer: Peer, deps: TunnelServerDeps) {
    this.peer = peer;
    this.#tls = tls;
    this.#raw = raw;
    this.#deps = deps;
    this.#session = performServerHandshake(tls, { settings: TUNNEL_SETTINGS, maxSessionMemory: SESSION_MEMORY_MB });
    this.#session.setLocalWindowSize(SESSION_WINDOW);
    this.#session.on('error', ignoreError); // `close` follows
    this.#session.on('stream', (stream, headers) => this.#stream(stream, headers));
    this.#session.once('close', () => {
      this.#gone = true;
      this.#timer.cancel();
      tls.destroy();
      deps.onClosed();
    });
    this.#timer = this.#nextPing();
  }

  /** Takes no new streams and closes with the last one; the other side makes a new tunnel. */
  retire(): void {
    if (!this.#session.closed) this.#session.close();
  }

  abort(): void {
    resetTls(this.#tls, this.#raw);
  }

  #stream(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    stream.on('error', ignoreError); // `close` follows
    if (headers[':method'] !== 'CONNECT') {
      answer(stream, { reason: 'bad_request', details: {} });
      return;
    }
    const connection = new InboundConnection(this.peer, this.#deps, this.#deps.taking);
    const refused = connection.admit();
    if (refused !== undefined) {
      answer(stream, refused);
      return;
    }
    this.#deps.onUsed();
    connection.carry(
      streamEnd(stream, () => resetStream(stream)),
      () => stream.respond({ ':status': STATUS.connected }),
      (failed) => answer(stream, failed),
    );
  }

  /** A half-open tunnel, whose other side is gone without a word, is found within two of these. */
  #nextPing(): Timer {
    const { authorizer, clock, limits } = this.#deps;
    const { service, datacenter } = this.peer.identity;
    return clock.after(limits.pingIntervalMs, () => {
      // Destroyed: it waits for the other side to end, which may be gone without a word. Denied: it has learnt why by
      // now.
      if (this.#session.destroyed || !authorizer.decide(service, datacenter).allowed) {
        this.abort();
        return;
      }
      this.#timer = clock.after(limits.pingTimeoutMs, () => this.abort());
      this.#session.ping(() => {
        this.#timer.cancel();
        if (!this.#gone) this.#timer = this.#nextPing();
      });
    });
  }
}

const STATUS_OF: Readonly<Partial<Record<Refused['reason'], number>>> = {
  denied: STATUS.denied,
  expired: STATUS.expired,
  limit: STATUS.limit,
  local_unreachable: STATUS.localUnreachable,
  stopping: STATUS.stopping,
};

function answer(stream: ServerHttp2Stream, refused: Refused): void {
  if (stream.destroyed || stream.closed) return;
  const status = STATUS_OF[refused.reason] ?? STATUS.badRequest;
  stream.respond(
    { ':status': status, [HEADER_REASON]: refused.reason, [HEADER_DETAILS]: asciiJson(refused.details) },
    { endStream: true },
  );
  stream.resume(); // until the other side ends its half
}

/** Header values hold visible ASCII only (RFC 9110, 5.5). */
function asciiJson(value: unknown): string {
  return JSON.stringify(value).replace(/[^ -~]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
