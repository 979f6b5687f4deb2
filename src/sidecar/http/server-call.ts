import type { IncomingMessage, ServerResponse } from 'node:http';
import { constants, type ServerHttp2Stream } from 'node:http2';
import type { Duplex, Readable } from 'node:stream';
import type { HeaderLine, HttpRequest } from '../../model/layer7/request.ts';
import { ignoreError } from '../wire/sockets.ts';
import { type BodySink, flatten, grouped, type ResponseHead, trailersOf } from './message.ts';

/** One request that came in, to be answered once. */
export interface ServerCall {
  readonly head: HttpRequest;
  readonly body: Readable;
  /** Lines after the body, once it has ended. */
  trailers(): readonly HeaderLine[];
  readonly hasBody: boolean;
  /** What the caller wants to go on with instead of HTTP, such as `websocket`. */
  readonly upgrade: string | undefined;
  /** No byte of an answer was sent. */
  readonly unanswered: boolean;
  /** Sends the head of the answer; its body goes to what is returned. */
  respond(head: ResponseHead): BodySink;
  /** Answers that it goes on with the other protocol, on what is returned. */
  accept(head: ResponseHead): Duplex;
  /** Ends it as a failure. */
  abort(): void;
  /** Calls back once: answered whole, or given up by the caller. */
  onClose(listener: () => void): void;
}

/** Without a body: the connection's or stream's own end says so. */
const NO_BODY = new Set([204, 304]);

export class Http1Call implements ServerCall {
  readonly head: HttpRequest;
  readonly hasBody: boolean;
  readonly upgrade: string | undefined;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #early: Buffer;
  /** No other request is taken on its connection. */
  readonly #last: () => boolean;

  constructor(
    head: HttpRequest,
    request: IncomingMessage,
    response: ServerResponse,
    options: { readonly upgrade?: string; readonly early?: Buffer; readonly last: () => boolean },
  ) {
    this.head = head;
    this.#request = request;
    this.#response = response;
    this.upgrade = options.upgrade;
    this.#early = options.early ?? Buffer.alloc(0);
    this.#last = options.last;
    const { 'content-length': length, 'transfer-encoding': coding } = request.headers;
    this.hasBody = coding !== undefined || (length !== undefined && length !== '0');
    response.on('error', ignoreError);
    request.on('error', ignoreError);
  }

  get body(): Readable {
    return this.#request;
  }

  get unanswered(): boolean {
    return !this.#response.headersSent;
  }

  trailers(): readonly HeaderLine[] {
    return trailersOf(this.#request.rawTrailers);
  }

  respond({ status, headers }: ResponseHead): BodySink {
    const response = this.#response;
    const last = this.#last() || this.upgrade !== undefined;
    response.writeHead(status, [...flatten(headers), ...(last ? ['connection', 'close'] : [])]);
    response.flushHeaders();
    return {
      stream: response,
      end: (trailers) => {
        if (trailers.length > 0) response.addTrailers(trailers.map(([name, value]): [string, string] => [name, value]));
        response.end();
      },
    };
  }

  accept({ status, headers }: ResponseHead): Duplex {
    const { socket } = this.#request;
    this.#response.detachSocket(socket);
    const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`).join('');
    socket.write(`HTTP/1.1 ${status} Switching Protocols\r\n${lines}\r\n`, 'latin1');
    if (this.#early.length > 0) socket.unshift(this.#early);
    return socket;
  }

  abort(): void {
    this.#request.socket.destroy();
  }

  onClose(listener: () => void): void {
    this.#response.once('close', listener);
  }
}

export class Http2Call implements ServerCall {
  readonly head: HttpRequest;
  readonly hasBody: boolean;
  readonly upgrade = undefined;
  readonly #stream: ServerHttp2Stream;
  #trailers: readonly HeaderLine[] = [];

  constructor(head: HttpRequest, stream: ServerHttp2Stream, hasBody: boolean) {
    this.head = head;
    this.hasBody = hasBody;
    this.#stream = stream;
    stream.on('trailers', (_headers: unknown, _flags: unknown, raw: readonly string[] = []) => {
      this.#trailers = trailersOf(raw);
    });
  }

  get body(): Readable {
    return this.#stream;
  }

  get unanswered(): boolean {
    return !this.#stream.headersSent;
  }

  trailers(): readonly HeaderLine[] {
    return this.#trailers;
  }

  respond({ status, headers }: ResponseHead): BodySink {
    const stream = this.#stream;
    const endStream = NO_BODY.has(status) || this.head.method === 'HEAD';
    stream.respond({ ...grouped(headers), ':status': status }, { endStream, waitForTrailers: !endStream });
    let last: readonly HeaderLine[] = [];
    stream.on('wantTrailers', () => stream.sendTrailers(grouped(last)));
    return {
      stream,
      end: (trailers) => {
        last = trailers;
        if (!stream.writableEnded) stream.end();
      },
    };
  }

  accept(): Duplex {
    throw new TypeError('HTTP/2 does not go on with another protocol');
  }

  abort(): void {
    if (!this.#stream.closed) this.#stream.close(constants.NGHTTP2_INTERNAL_ERROR);
  }

  onClose(listener: () => void): void {
    this.#stream.once('close', listener);
  }
}
