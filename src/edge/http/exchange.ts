import type { IncomingMessage, ServerResponse } from 'node:http';
import { bucketOf } from '../../lib/address.ts';
import { IsthmusError } from '../../lib/errors.ts';
import type { BodyIntake } from './body.ts';
import { PassedOver } from './passed-over.ts';
import type { Query } from './query.ts';
import type { ApiRequest, BodyLimit } from './route.ts';
import { requestToken } from './token.ts';

/** Aborts requests: each that may wait has a controller here, from its first look at `signal` until it is answered. */
export class OpenExchanges {
  readonly #open = new Set<AbortController>();
  #reason: unknown;

  get size(): number {
    return this.#open.size;
  }

  add(controller: AbortController): void {
    if (this.#reason !== undefined) controller.abort(this.#reason);
    else this.#open.add(controller);
  }

  delete(controller: AbortController): void {
    this.#open.delete(controller);
  }

  abortAll(reason: unknown): void {
    this.#reason = reason;
    for (const controller of this.#open) controller.abort(reason);
    this.#open.clear();
  }
}

/** A signal for one request: aborts when the client goes away or the edge stops. */
export function exchangeSignal(response: ServerResponse, open: OpenExchanges): AbortController {
  const controller = new AbortController();
  open.add(controller);
  response.once('close', () => {
    open.delete(controller);
    if (!response.writableFinished) controller.abort();
  });
  return controller;
}

export class HttpApiRequest implements ApiRequest {
  readonly path: string;
  readonly params: Readonly<Record<string, string>>;
  readonly query: Query;
  #body: Buffer = NO_BODY;
  readonly #incoming: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #open: OpenExchanges;
  #controller: AbortController | undefined;
  #passedOver: PassedOver | undefined;

  constructor(
    exchange: { readonly incoming: IncomingMessage; readonly response: ServerResponse; readonly open: OpenExchanges },
    parts: Pick<ApiRequest, 'path' | 'params' | 'query'>,
  ) {
    this.#incoming = exchange.incoming;
    this.#response = exchange.response;
    this.#open = exchange.open;
    this.path = parts.path;
    this.params = parts.params;
    this.query = parts.query;
  }

  get method(): string {
    return this.#incoming.method ?? 'GET';
  }

  get token(): string | undefined {
    return requestToken(this.#incoming.rawHeaders, this.query);
  }

  get remoteAddress(): string {
    return this.#incoming.socket.remoteAddress ?? '';
  }

  get signal(): AbortSignal {
    return this.controller.signal;
  }

  get controller(): AbortController {
    this.#controller ??= exchangeSignal(this.#response, this.#open);
    return this.#controller;
  }

  get body(): Buffer {
    return this.#body;
  }

  /** Undefined while every field of the body was known. */
  get passedOver(): PassedOver | undefined {
    return this.#passedOver;
  }

  readonly passOver = (path: string): void => {
    this.#passedOver ??= new PassedOver();
    this.#passedOver.add(path);
  };

  /**
   * Takes the body in. Throws when it is too large, there is no room, or it is cut off; then no other request follows
   * here.
   */
  async receive(bodies: BodyIntake, limit?: BodyLimit): Promise<void> {
    try {
      const { bytes, release } = await bodies.receive(this.#incoming, bucketOf(this.remoteAddress) ?? '', limit);
      this.#body = bytes;
      if (this.#response.closed) release();
      else this.#response.once('close', release);
    } catch (error) {
      this.#response.shouldKeepAlive = false;
      throw error;
    }
  }

  get bodyStream(): AsyncIterable<Uint8Array> {
    return uploaded(this.#incoming);
  }

  header(name: string): string | undefined {
    const value = this.#incoming.headers[name.toLowerCase()];
    return Array.isArray(value) ? value.join(', ') : value;
  }
}

const NO_BODY = Buffer.alloc(0);

async function* uploaded(incoming: IncomingMessage): AsyncGenerator<Uint8Array, void, void> {
  try {
    yield* incoming as AsyncIterable<Buffer>;
  } catch (cause) {
    throw new IsthmusError('cancelled', 'the upload was cut off', { cause });
  }
  if (!incoming.complete) throw new IsthmusError('cancelled', 'the upload was cut off');
}
