import { createServer, type IncomingMessage, type Server, ServerResponse } from 'node:http';
import { performServerHandshake, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import type { Duplex } from 'node:stream';
import type { HttpRequest } from '../../model/layer7/request.ts';
import { codeOf, ignoreError } from '../wire/sockets.ts';
import { bytesOnly } from './bytes-only.ts';
import { answerLocally } from './local-reply.ts';
import { BadRequest, lineOf, linesOf, MAX_HEAD, requestHead, SESSION_WINDOW, STREAM_WINDOW } from './message.ts';
import { Http1Call, Http2Call, type ServerCall } from './server-call.ts';

export interface AcceptorOptions<C> {
  /** Called for each request. `context` is what the connection was given with. */
  readonly onCall: (call: ServerCall, context: C) => void;
  /** Called for what is no HTTP, or none that is taken. */
  readonly onBad: (reason: string, context: C) => void;
}

interface Connection<C> {
  readonly stream: Duplex;
  readonly context: C;
  calls: number;
  session?: ServerHttp2Session;
}

/** HTTP/2 without negotiation begins with this (RFC 9113, 3.4); no method of HTTP/1.1 is called PRI. */
const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
/** Requests under way in one HTTP/2 connection. */
const MAX_STREAMS = 1_000;
const FLAG_END_STREAM = 1;

/**
 * Takes connections that speak HTTP, of either version, and hands on their requests. Framing is left to Node's strict
 * parsers.
 */
export class HttpAcceptor<C> {
  readonly #options: AcceptorOptions<C>;
  readonly #http1: Server;
  readonly #connections = new Map<Duplex, Connection<C>>();
  #draining = false;

  constructor(options: AcceptorOptions<C>) {
    this.#options = options;
    this.#http1 = createServer({
      maxHeaderSize: MAX_HEAD,
      insecureHTTPParser: false,
      requireHostHeader: true,
      keepAliveTimeout: 0, // who dials decides how long an idle connection is kept
      requestTimeout: 0, // requests are streamed; routes have their own time-outs
    });
    this.#http1.maxHeadersCount = 0; // Node would leave lines out without a word; `requestHead` refuses them
    this.#http1.on('request', (request, response) => this.#http1Call(request, response));
    this.#http1.on('upgrade', (request, socket, early) => this.#upgrade(request, socket, early));
    this.#http1.on('connect', (request, socket) => this.#refuse(request, socket, 405));
    this.#http1.on('clientError', (error, socket) => this.#clientError(error, socket));
  }

  /** A connection, from its first byte. */
  accept(stream: Duplex, context: C): void {
    const connection: Connection<C> = { stream, context, calls: 0 };
    this.#connections.set(stream, connection);
    stream.on('error', ignoreError);
    stream.once('close', () => this.#connections.delete(stream));
    let seen: Buffer = Buffer.alloc(0);
    const onReadable = (): void => {
      const chunk = stream.read() as Buffer | null;
      if (chunk === null) return;
      seen = seen.length === 0 ? chunk : Buffer.concat([seen, chunk]);
      const known = Math.min(seen.length, PREFACE.length);
      const http2 = seen.subarray(0, known).equals(PREFACE.subarray(0, known));
      if (http2 && known < PREFACE.length) return; // it may still be either
      stream.removeListener('readable', onReadable);
      stream.removeListener('end', onEnd);
      stream.unshift(seen);
      if (http2) this.#http2(connection);
      else this.#http1.emit('connection', bytesOnly(stream));
    };
    const onEnd = (): void => {
      stream.destroy();
    };
    stream.on('readable', onReadable);
    stream.once('end', onEnd);
  }

  /** Requests under way end; each connection closes after its last one. */
  drain(): void {
    this.#draining = true;
    for (const { stream, calls, session } of this.#connections.values()) {
      if (session !== undefined) session.close();
      else if (calls === 0) stream.destroy();
    }
  }

  #http1Call(request: IncomingMessage, response: ServerResponse, upgrade?: { name: string; early: Buffer }): void {
    const connection = this.#connections.get(request.socket);
    if (connection === undefined) {
      request.socket.destroy();
      return;
    }
    connection.calls += 1;
    (upgrade === undefined ? response : request.socket).once('close', () => {
      connection.calls -= 1;
      if (this.#draining && connection.calls === 0 && upgrade === undefined) connection.stream.end();
    });
    const lines = linesOf(request.rawHeaders);
    const taken = (head: HttpRequest): ServerCall =>
      new Http1Call(head, request, response, {
        ...(upgrade === undefined ? {} : { upgrade: upgrade.name, early: upgrade.early }),
        last: () => this.#draining,
      });
    this.#take(connection, taken, () => requestHead(request.method ?? '', request.url ?? '', undefined, lines));
  }

  /** Node stops to parse what asks for an upgrade: without a body it can be answered like any other request. */
  #upgrade(request: IncomingMessage, socket: Duplex, early: Buffer): void {
    const { upgrade = '', 'content-length': length = '0', 'transfer-encoding': coding } = request.headers;
    if (length !== '0' || coding !== undefined) {
      this.#refuse(request, socket, 400);
      return;
    }
    const response = new ServerResponse(request);
    response.assignSocket(request.socket);
    response.shouldKeepAlive = false;
    response.once('finish', () => response.detachSocket(request.socket));
    this.#http1Call(request, response, { name: upgrade.toLowerCase(), early });
  }

  #http2(connection: Connection<C>): void {
    const session = performServerHandshake(connection.stream, {
      settings: {
        enablePush: false,
        maxConcurrentStreams: MAX_STREAMS,
        initialWindowSize: STREAM_WINDOW,
        maxHeaderListSize: MAX_HEAD,
      },
    });
    session.setLocalWindowSize(SESSION_WINDOW);
    connection.session = session;
    session.on('error', ignoreError); // `close` follows
    session.on('stream' as string, (stream: ServerHttp2Stream, _headers: object, flags: number, raw: string[]) => {
      stream.on('error', ignoreError); // `close` follows
      const lines = linesOf(raw);
      const method = lineOf(lines, ':method') ?? '';
      const taken = (head: HttpRequest): ServerCall => new Http2Call(head, stream, (flags & FLAG_END_STREAM) === 0);
      this.#take(connection, taken, () => {
        if (method === 'CONNECT') throw new BadRequest(405, 'CONNECT is not taken');
        return requestHead(method, lineOf(lines, ':path') ?? '', lineOf(lines, ':authority'), lines);
      });
    });
    session.once('close', () => connection.stream.destroy());
    if (this.#draining) session.close();
  }

  #take(connection: Connection<C>, callOf: (head: HttpRequest) => ServerCall, read: () => HttpRequest): void {
    const { context } = connection;
    try {
      this.#options.onCall(callOf(read()), context);
    } catch (error) {
      if (!(error instanceof BadRequest)) throw error;
      this.#options.onBad(error.message, context);
      const call = callOf({ method: '', path: '', authority: '', headers: [] });
      answerLocally(call, { status: error.status, text: error.message });
    }
  }

  #refuse(request: IncomingMessage, socket: Duplex, status: number): void {
    const connection = this.#connections.get(request.socket);
    if (connection !== undefined) this.#options.onBad(`${request.method} is not taken`, connection.context);
    socket.end(`HTTP/1.1 ${status} Refused\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`);
  }

  #clientError(error: Error, socket: Duplex): void {
    const connection = this.#connections.get(socket);
    const code = codeOf(error);
    if (connection !== undefined && code.startsWith('HPE_')) this.#options.onBad(code, connection.context);
    if (!socket.writable || code === 'ECONNRESET') {
      socket.destroy();
      return;
    }
    const status = code === 'HPE_HEADER_OVERFLOW' ? '431 Request Header Fields Too Large' : '400 Bad Request';
    socket.end(`HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`, () => socket.destroy());
  }
}
