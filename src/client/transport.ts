import { Agent, type IncomingHttpHeaders, type IncomingMessage, request as requestHttp } from 'node:http';
import { request as requestHttps, Agent as SecureAgent } from 'node:https';
import { pipeline } from 'node:stream/promises';
import { IsthmusError } from '../lib/errors.ts';
import { abortReason } from '../lib/signals.ts';
import {
  type Answer,
  type CallOptions,
  type ClientOptions,
  callQuery,
  encodeQuery,
  parseAddress,
  type Query,
} from './options.ts';
import { connectionError, statusError } from './transport-error.ts';

/** Largest answer taken, bytes. */
const MAX_ANSWER = 256 * 1024 * 1024;

export interface RawRequest {
  readonly method: 'GET' | 'PUT' | 'POST' | 'DELETE';
  readonly path: string;
  readonly query?: Query;
  /** Sent as JSON; a string, and bytes, as they are. */
  readonly body?: unknown;
  /** Sent piece by piece instead of a body; when it fails, so does the request. */
  readonly upload?: AsyncIterable<Uint8Array>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly call?: CallOptions;
}

export interface RawAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

/** Requests to one agent. Every method rejects with an IsthmusError. */
export interface Transport {
  /** Any status is an answer. */
  send(request: RawRequest): Promise<RawAnswer>;
  /** The body while it arrives; a status other than 200 rejects. The caller ends it by aborting the call's signal. */
  stream(request: RawRequest): Promise<IncomingMessage>;
  /** A status of 200, its body as JSON; `accept` names further statuses that carry a value. */
  json<T>(request: RawRequest, accept?: readonly number[]): Promise<Answer<T>>;
  /** A status of 200, its body as text. */
  text(request: RawRequest): Promise<string>;
  /** The whole answer, when it is 200 or one of `accept`. */
  answer(request: RawRequest, accept?: readonly number[]): Promise<RawAnswer>;
  /** Drops idle connections. */
  close(): void;
}

export function createTransport(options: ClientOptions): Transport {
  const target = parseAddress(options.address);
  const { tls = {} } = options;
  const agent = target.secure
    ? new SecureAgent({
        keepAlive: true,
        ...(tls.ca === undefined ? {} : { ca: [...tls.ca] }),
        ...(tls.cert === undefined ? {} : { cert: tls.cert }),
        ...(tls.key === undefined ? {} : { key: tls.key }),
        ...(tls.serverName === undefined ? {} : { servername: tls.serverName }),
        rejectUnauthorized: tls.verify ?? true,
      })
    : new Agent({ keepAlive: true });
  const open = target.secure ? requestHttps : requestHttp;

  const start = (request: RawRequest): Promise<IncomingMessage> => {
    const { call = {} } = request;
    const { signal } = call;
    const query = { ...callQuery({ ...defaults(options), ...call }), ...request.query };
    const path = request.path + encodeQuery(query);
    const body =
      request.body === undefined || typeof request.body === 'string' || request.body instanceof Uint8Array
        ? request.body
        : JSON.stringify(request.body);
    const token = call.token ?? options.token;
    return new Promise((resolve, reject) => {
      const outgoing = open(
        {
          agent,
          method: request.method,
          path,
          ...(target.socketPath === undefined
            ? { host: target.host, port: target.port }
            : { socketPath: target.socketPath }),
          ...(options.basicAuth === undefined ? {} : { auth: options.basicAuth }),
          ...(signal === undefined ? {} : { signal }),
          headers: {
            ...(token === undefined || token === '' ? {} : { 'x-consul-token': token }),
            ...(body === undefined ? {} : { 'content-length': Buffer.byteLength(body) }),
            ...request.headers,
          },
        },
        resolve,
      );
      outgoing.on('error', (error) => {
        if (error instanceof IsthmusError) reject(error);
        else if (signal?.aborted) reject(abortReason(signal));
        else reject(connectionError(request.method, target.base + path, target, error));
      });
      if (request.upload === undefined) outgoing.end(body);
      else
        pipeline(request.upload, outgoing).catch((error: unknown) => {
          outgoing.destroy(IsthmusError.from(error)); // no news when the answer came before the end
        });
    });
  };

  const send = async (request: RawRequest): Promise<RawAnswer> => {
    const answer = await start(request);
    return { status: answer.statusCode ?? 0, headers: answer.headers, text: await readAll(answer, request) };
  };

  const expect = async (request: RawRequest, accept: readonly number[] = []): Promise<RawAnswer> => {
    const answer = await send(request);
    if (answer.status === 200 || accept.includes(answer.status)) return answer;
    throw statusError(answer.status, answer.text);
  };

  return {
    send,
    async stream(request) {
      const answer = await start(request);
      if (answer.statusCode === 200) return answer;
      throw statusError(answer.statusCode ?? 0, await readAll(answer, request));
    },
    async json<T>(request: RawRequest, accept: readonly number[] = []) {
      const answer = await expect(request, accept);
      return { value: parseBody<T>(answer.text), index: Number(answer.headers['x-consul-index'] ?? 0) };
    },
    answer: (request, accept) => expect(request, accept),
    async text(request) {
      return (await expect(request)).text;
    },
    close: () => agent.destroy(),
  };
}

function defaults(options: ClientOptions): CallOptions {
  return {
    ...(options.datacenter === undefined ? {} : { datacenter: options.datacenter }),
    ...(options.stale === undefined ? {} : { stale: options.stale }),
  };
}

function parseBody<T>(text: string): T {
  try {
    return JSON.parse(text) as T;
  } catch (error) {
    throw new IsthmusError('internal', 'the answer is not JSON; is this address the HTTP API of an agent?', {
      cause: error,
    });
  }
}

async function readAll(answer: IncomingMessage, request: RawRequest): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > MAX_ANSWER) throw new IsthmusError('too_large', `the answer has more than ${MAX_ANSWER} bytes`);
      chunks.push(chunk);
    }
  } catch (error) {
    if (error instanceof IsthmusError) throw error;
    const signal = request.call?.signal;
    if (signal?.aborted) throw abortReason(signal);
    throw new IsthmusError('unavailable', 'unexpected EOF', { cause: error });
  }
  return Buffer.concat(chunks).toString('utf8');
}
