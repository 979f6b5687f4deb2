import {
  constants,
  type IncomingHttpHeaders,
  performServerHandshake,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { Socket } from 'node:net';
import type { Clock, Timer } from '../../lib/clock.ts';
import type { XdsLimits } from './limits.ts';

export interface ConnectionsDeps {
  readonly clock: Clock;
  readonly limits: Pick<XdsLimits, 'perConnection' | 'idleConnectionMs' | 'pingMs' | 'pingTimeoutMs'>;
  /** A stream whose headers have come. */
  readonly onStream: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, socket: Socket) => void;
}

interface Connection {
  readonly session: ServerHttp2Session;
  readonly socket: Socket;
  readonly streams: Set<ServerHttp2Stream>;
  /** Since when it has had no stream; by the steady clock. */
  idleSince: number;
  /** When it was last asked for a sign. */
  askedAt: number;
  /** It was asked and has not answered. */
  asked: boolean;
}

/** Between two looks at all connections, milliseconds: one timer, however many there are. */
const LOOK_MS = 5_000;

/** The connections of HTTP/2 that are open, and which of them go on. */
export class Connections {
  readonly #deps: ConnectionsDeps;
  readonly #open = new Set<Connection>();
  #timer: Timer | undefined;
  #closing = false;

  constructor(deps: ConnectionsDeps) {
    this.#deps = deps;
  }

  /** Speaks HTTP/2 on a connection. */
  accept(socket: Socket): void {
    const { clock, limits } = this.#deps;
    const session = performServerHandshake(socket, { settings: { maxConcurrentStreams: limits.perConnection } });
    const now = clock.steady();
    const connection: Connection = { session, socket, streams: new Set(), idleSince: now, askedAt: now, asked: false };
    this.#open.add(connection);
    session.on('error', () => undefined); // 'close' follows
    session.on('close', () => {
      this.#open.delete(connection);
      socket.destroy();
    });
    session.on('stream', (stream, headers) => this.#onStream(connection, stream, headers));
    this.#timer ??= clock.after(LOOK_MS, () => this.#look());
  }

  /** Takes no more streams; those that are open end by themselves. */
  close(): void {
    this.#closing = true;
    this.#timer?.cancel();
    for (const { session } of this.#open) session.close();
  }

  #onStream(connection: Connection, stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    const { limits, clock, onStream } = this.#deps;
    stream.on('error', () => undefined);
    connection.streams.add(stream);
    stream.on('close', () => {
      connection.streams.delete(stream);
      connection.idleSince = clock.steady();
    });
    // An Envoy may not know the limit yet.
    if (connection.streams.size > limits.perConnection) stream.close(constants.NGHTTP2_REFUSED_STREAM);
    else onStream(stream, headers, connection.socket);
  }

  #look(): void {
    const { clock, limits } = this.#deps;
    const now = clock.steady();
    for (const connection of this.#open) {
      const { session, streams, idleSince, asked, askedAt } = connection;
      // What was answered and goes on being asked is over: its end has been sent.
      for (const stream of streams) if (stream.writableFinished) stream.close(constants.NGHTTP2_NO_ERROR);
      if (streams.size === 0 && now - idleSince >= limits.idleConnectionMs) session.close();
      else if (asked && now - askedAt >= limits.pingTimeoutMs) session.destroy();
      else if (!asked && now - askedAt >= limits.pingMs) this.#ask(connection, now);
    }
    this.#timer = this.#closing ? undefined : clock.after(LOOK_MS, () => this.#look());
  }

  #ask(connection: Connection, now: number): void {
    connection.askedAt = now;
    connection.asked = connection.session.ping(() => {
      connection.asked = false;
    });
  }
}
