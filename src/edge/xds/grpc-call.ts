import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import { IsthmusError } from '../../lib/errors.ts';
import { grpcStatus } from './grpc-status.ts';
import { MessageReader } from './message-reader.ts';

export interface CallHandler {
  /** A whole message; its bytes are only read. */
  onMessage(message: Uint8Array): void;
  /** What the caller sent can't be read. */
  onBroken(error: IsthmusError): void;
  /** The caller has gone, or says no more. */
  onGone(): void;
}

/**
 * One call of a streaming method of gRPC, over a stream of HTTP/2: messages come in and go out until either side ends
 * it. Nothing is kept for it but the message that is arriving.
 */
export class GrpcCall {
  readonly #stream: ServerHttp2Stream;
  readonly #headers: IncomingHttpHeaders;
  readonly #reader: MessageReader;
  /** `address:port` of the caller; empty on a Unix socket. */
  readonly peer: string;
  #handler: CallHandler | undefined;
  #paused = false;
  #ended = false;

  constructor(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, peer: string, maxMessage: number) {
    this.#stream = stream;
    this.#headers = headers;
    this.peer = peer;
    this.#reader = new MessageReader(maxMessage);
  }

  /** From now on messages are handed on. */
  open(handler: CallHandler): void {
    this.#handler = handler;
    const gone = (): void => {
      // Its unfinished messages went over the bounds of all.
      if (this.#stream.rstCode === constants.NGHTTP2_ENHANCE_YOUR_CALM)
        handler.onBroken(new IsthmusError('too_large', 'too much of unfinished messages is held'));
      else handler.onGone();
    };
    this.#stream
      .on('data', (piece: Buffer) => this.#onPiece(piece))
      .on('end', gone)
      .on('error', gone)
      .on('close', gone);
    this.#stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
  }

  header(name: string): string | undefined {
    const value = this.#headers[name];
    return typeof value === 'string' && value !== '' ? value : undefined;
  }

  /** @param frame with the head before the message; @returns whether there is room for more */
  send(frame: Buffer): boolean {
    if (this.#ended || this.#stream.destroyed || this.#stream.closed) return true; // what ends it is on its way
    return this.#stream.write(frame);
  }

  /** Calls `listener` once when there is room again. */
  onceDrained(listener: () => void): void {
    this.#stream.once('drain', listener);
  }

  /** Nothing more is read, so that the caller's window fills. */
  pause(): void {
    this.#paused = true;
    this.#stream.pause();
  }

  resume(): void {
    this.#paused = false;
    this.#hand();
    if (!this.#paused) this.#stream.resume();
  }

  /** Ends it with a status; a caller that does not read what it was sent is cut off. */
  end(thrown: unknown): void {
    if (this.#ended || this.#stream.destroyed) return;
    this.#ended = true;
    this.#reader.clear();
    const { code, details } = grpcStatus(thrown);
    const trailers = { 'grpc-status': String(code), 'grpc-message': encodeURIComponent(details) };
    const stream = this.#stream;
    if (stream.writableNeedDrain) {
      stream.close(constants.NGHTTP2_CANCEL);
      stream.destroy();
      return;
    }
    stream.resume(); // what still comes is dropped
    const headers = { ':status': 200, 'content-type': 'application/grpc' };
    if (!stream.headersSent) stream.respond({ ...headers, ...trailers }, { endStream: true });
    else {
      stream.once('wantTrailers', () => stream.sendTrailers(trailers));
      stream.end();
    }
  }

  #onPiece(piece: Buffer): void {
    if (this.#ended) return;
    this.#reader.add(piece);
    this.#hand();
  }

  /** Hands on what is whole. */
  #hand(): void {
    try {
      while (!this.#paused && !this.#ended) {
        const message = this.#reader.next();
        if (message === undefined) return;
        this.#handler?.onMessage(message);
      }
    } catch (thrown) {
      this.#handler?.onBroken(IsthmusError.from(thrown));
    }
  }
}
