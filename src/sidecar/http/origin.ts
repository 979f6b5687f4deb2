import { type ClientRequest, request as http1Request, type IncomingMessage } from 'node:http';
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect as connectHttp2,
  constants,
  type IncomingHttpHeaders,
} from 'node:http2';
import type { Duplex, Writable } from 'node:stream';
import type { Clock, Timer } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import type { HeaderLine, HttpRequest } from '../../model/layer7/request.ts';
import type { End } from '../wire/pump.ts';
import { ignoreError } from '../wire/sockets.ts';
import { bytesOnly } from './bytes-only.ts';
import { endToEnd, flatten, grouped, linesOf, MAX_HEAD, type Reply, SESSION_WINDOW, STREAM_WINDOW } from './message.ts';

/** A connection that requests can be sent on. */
export interface OriginConnection extends End {
  readonly http2: boolean;
}

export interface OriginDeps {
  readonly clock: Clock;
  /** A new connection; rejects when there is none. */
  readonly connect: () => Promise<OriginConnection>;
  /** Connections made while it was another value are used no more. */
  readonly generation: () => unknown;
  /** An idle connection is closed after this, milliseconds. */
  readonly idleMs: number;
}

/** Goes on with another protocol, on a connection that is no longer HTTP. */
export interface Upgraded {
  readonly reply: Reply;
  readonly stream: Duplex;
}

/** One request on its way. */
export interface ClientCall {
  readonly body: Writable;
  end(trailers: readonly HeaderLine[]): void;
  /** Rejects when the connection ends before there is an answer. */
  readonly reply: Promise<Reply | Upgraded>;
  /** Its connection had served requests before: the other side may have closed it at the same moment. */
  readonly reused: boolean;
  abort(): void;
}

/** Requests in one HTTP/2 connection, whatever more the other side allows; then another one is made. */
const STREAMS = 100;

interface Idle {
  readonly connection: OriginConnection;
  readonly generation: unknown;
  /** It is idle no more. */
  readonly end: () => void;
}

interface Session {
  readonly http2: ClientHttp2Session;
  readonly connection: OriginConnection;
  readonly generation: unknown;
  streams: number;
  used: boolean;
  timer: Timer | undefined;
}

/** Where requests are sent: its connections, of HTTP/1.1 one for each request under way, of HTTP/2 a few for all. */
export class Origin {
  readonly #deps: OriginDeps;
  readonly #idle: Idle[] = [];
  readonly #sessions = new Set<Session>();
  #connecting: Promise<void> | undefined;
  #http2: boolean | undefined;
  #closed = false;

  constructor(deps: OriginDeps) {
    this.#deps = deps;
  }

  /** Sends the head of a request. Rejects when no connection could be made: nothing was sent then. */
  async send(head: HttpRequest, hasBody: boolean, upgrade?: string): Promise<ClientCall> {
    for (;;) {
      const session = this.#session();
      if (session !== undefined) return this.#sendHttp2(session, head, hasBody);
      const idle = this.#takeIdle();
      if (idle !== undefined) return this.#sendHttp1(idle, head, { hasBody, upgrade, reused: true });
      if (this.#http2 === false) {
        const connection = await this.#deps.connect();
        if (!connection.http2) {
          bytesOnly(connection.stream);
          return this.#sendHttp1(connection, head, { hasBody, upgrade, reused: false });
        }
        this.#adopt(connection);
        continue;
      }
      const first = await this.#first();
      if (first !== undefined) return this.#sendHttp1(first, head, { hasBody, upgrade, reused: false });
    }
  }

  /** Closes what is idle, and the rest once it is. */
  close(): void {
    this.#closed = true;
    for (const { connection, end } of this.#idle.splice(0)) {
      end();
      connection.stream.destroy();
    }
    for (const session of this.#sessions) session.http2.close();
  }

  /**
   * One connection for all who wait: it tells which version is spoken. Undefined for those whose connection it is not.
   */
  async #first(): Promise<OriginConnection | undefined> {
    let own: OriginConnection | undefined;
    this.#connecting ??= this.#deps
      .connect()
      .then((connection) => {
        this.#http2 = connection.http2;
        if (connection.http2) this.#adopt(connection);
        else {
          bytesOnly(connection.stream);
          own = connection;
        }
      })
      .finally(() => {
        this.#connecting = undefined;
      });
    await this.#connecting;
    return own;
  }

  #session(): Session | undefined {
    const generation = this.#deps.generation();
    let best: Session | undefined;
    for (const session of this.#sessions) {
      const { http2, streams } = session;
      if (http2.closed || http2.destroyed) continue;
      if (session.generation !== generation) {
        http2.close();
        continue;
      }
      const most = Math.min(STREAMS, http2.remoteSettings?.maxConcurrentStreams ?? STREAMS);
      if (streams < most && (best === undefined || streams < best.streams)) best = session;
    }
    return best;
  }

  #adopt(connection: OriginConnection): void {
    const http2 = connectHttp2('http://mesh', {
      createConnection: () => connection.stream,
      settings: { enablePush: false, initialWindowSize: STREAM_WINDOW, maxHeaderListSize: MAX_HEAD },
    });
    const session: Session = {
      http2,
      connection,
      generation: this.#deps.generation(),
      streams: 0,
      used: false,
      timer: undefined,
    };
    this.#sessions.add(session);
    http2.once('connect', () => http2.setLocalWindowSize(SESSION_WINDOW));
    http2.on('error', ignoreError); // `close` follows
    http2.once('goaway', () => http2.close());
    http2.once('close', () => {
      this.#sessions.delete(session);
      session.timer?.cancel();
      connection.stream.destroy();
    });
    if (this.#closed) http2.close();
  }

  #takeIdle(): OriginConnection | undefined {
    for (let idle = this.#idle.pop(); idle !== undefined; idle = this.#idle.pop()) {
      idle.end();
      if (!idle.connection.stream.destroyed && idle.generation === this.#deps.generation()) return idle.connection;
      idle.connection.stream.destroy();
    }
    return undefined;
  }

  #keep(connection: OriginConnection, generation: unknown, idleMs: number): void {
    const { stream } = connection;
    if (this.#closed || idleMs <= 0 || generation !== this.#deps.generation() || stream.readableEnded) {
      stream.destroy();
      return;
    }
    const drop = (): void => {
      stream.destroy();
    };
    const forget = (): void => {
      idle.end();
      const at = this.#idle.indexOf(idle);
      if (at !== -1) this.#idle.splice(at, 1);
    };
    const timer = this.#deps.clock.after(idleMs, drop);
    const idle: Idle = {
      connection,
      generation,
      end: () => {
        timer.cancel();
        stream.removeListener('close', forget);
        stream.removeListener('end', drop);
        stream.removeListener('data', drop);
      },
    };
    this.#idle.push(idle);
    stream.once('close', forget);
    stream.once('end', drop);
    stream.once('data', drop); // nobody asked for it
    stream.resume();
  }

  #sendHttp1(
    connection: OriginConnection,
    head: HttpRequest,
    { hasBody, upgrade, reused }: { hasBody: boolean; upgrade: string | undefined; reused: boolean },
  ): ClientCall {
    const generation = this.#deps.generation();
    const { stream } = connection;
    const framed = !hasBody || head.headers.some(([name]) => name === 'content-length');
    let outgoing: ClientRequest;
    try {
      outgoing = http1Request({
        createConnection: () => stream,
        method: head.method,
        path: head.path,
        maxHeaderSize: MAX_HEAD,
        headers: [
          ...['host', head.authority],
          ...flatten(head.headers),
          ...(framed ? [] : ['transfer-encoding', 'chunked']),
          ...(upgrade === undefined ? ['connection', 'keep-alive'] : ['connection', 'upgrade', 'upgrade', upgrade]),
        ],
      });
    } catch (error) {
      connection.stream.destroy();
      throw error;
    }
    outgoing.maxHeadersCount = 0; // Node would leave lines out without a word
    outgoing.shouldKeepAlive = true; // without an agent Node would close the connection after one request
    let idleMs = this.#deps.idleMs;
    const onFree = (): void => this.#keep(connection, generation, idleMs);
    stream.once('free', onFree);
    const reply = new Promise<Reply | Upgraded>((resolve, reject) => {
      outgoing.once('response', (incoming) => {
        idleMs = Math.min(idleMs, keptFor(incoming));
        resolve(http1Reply(incoming));
      });
      outgoing.once('upgrade', (incoming, socket: Duplex, early: Buffer) => {
        socket.removeListener('free', onFree);
        if (early.length > 0) socket.unshift(early);
        resolve({ reply: http1Reply(incoming), stream: socket });
      });
      outgoing.on('error', reject);
      outgoing.once('close', () => reject(new IsthmusError('unavailable', 'the connection ended without an answer')));
    });
    return {
      body: outgoing,
      end: (trailers) => {
        if (trailers.length > 0 && !framed)
          outgoing.addTrailers(trailers.map(([name, value]): [string, string] => [name, value]));
        outgoing.end();
      },
      reply,
      reused,
      abort: () => {
        outgoing.destroy();
        connection.reset();
      },
    };
  }

  #sendHttp2(session: Session, head: HttpRequest, hasBody: boolean): ClientCall {
    session.timer?.cancel();
    const stream = session.http2.request(
      {
        ...grouped(head.headers),
        ':method': head.method,
        ':path': head.path,
        ':scheme': 'http',
        ':authority': head.authority,
      },
      { endStream: !hasBody, waitForTrailers: hasBody },
    );
    session.streams += 1;
    const { used: reused } = session;
    session.used = true;
    let last: readonly HeaderLine[] = [];
    stream.on('wantTrailers', () => stream.sendTrailers(grouped(last)));
    const reply = new Promise<Reply>((resolve, reject) => {
      stream.once('response', (headers: IncomingHttpHeaders, _flags: number, ...rest: unknown[]) => {
        resolve(http2Reply(stream, headers, rest[0] as readonly string[] | undefined));
      });
      stream.on('error', reject);
      stream.once('close', () => {
        session.streams -= 1;
        if (session.streams === 0) this.#rest(session);
        reject(new StreamEnded(stream.rstCode === constants.NGHTTP2_REFUSED_STREAM));
      });
    });
    return {
      body: stream,
      end: (trailers) => {
        last = trailers;
        if (hasBody) stream.end();
      },
      reply,
      reused,
      abort: () => {
        if (!stream.closed) stream.close(constants.NGHTTP2_CANCEL);
      },
    };
  }

  #rest(session: Session): void {
    const { clock, generation, idleMs } = this.#deps;
    if (session.generation !== generation() || this.#closed) session.http2.close();
    else session.timer = clock.after(idleMs, () => session.http2.close());
  }
}

/** An HTTP/2 stream that ended without an answer. */
export class StreamEnded extends IsthmusError {
  /** The other side has not looked at it. */
  readonly refused: boolean;

  constructor(refused: boolean) {
    super('unavailable', 'the stream ended without an answer');
    this.refused = refused;
  }
}

/**
 * How long the other side keeps the connection, less a second for the way; without a word: as long as this side does.
 */
function keptFor({ headers }: IncomingMessage): number {
  const seconds = /\btimeout=(\d+)/i.exec(String(headers['keep-alive'] ?? ''))?.[1];
  return seconds === undefined ? Number.POSITIVE_INFINITY : (Number(seconds) - 1) * 1_000;
}

function http1Reply(incoming: IncomingMessage): Reply {
  incoming.on('error', ignoreError); // `close` without an end tells it
  return {
    status: incoming.statusCode ?? 502,
    headers: endToEnd(linesOf(incoming.rawHeaders)),
    body: incoming,
    trailers: () => linesOf(incoming.rawTrailers),
  };
}

function http2Reply(
  stream: ClientHttp2Stream,
  headers: IncomingHttpHeaders & { readonly ':status'?: number },
  raw: readonly string[] | undefined,
): Reply {
  let trailers: readonly HeaderLine[] = [];
  stream.once('trailers', (given: IncomingHttpHeaders) => {
    trailers = flatLines(given);
  });
  return {
    status: headers[':status'] ?? 502,
    headers: endToEnd(raw === undefined ? flatLines(headers) : linesOf(raw)),
    body: stream,
    trailers: () => trailers,
  };
}

function flatLines(headers: IncomingHttpHeaders): readonly HeaderLine[] {
  return Object.entries(headers).flatMap(([name, value]): readonly HeaderLine[] =>
    value === undefined ? [] : [value].flat().map((each) => [name, String(each)] as const),
  );
}
