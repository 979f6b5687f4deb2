import { type IncomingHttpHeaders, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';

export type HttpBody = string | Buffer | object | undefined;

export interface HttpAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  /** The body as JSON; throws with the body's text when it is none. */
  json<T>(): T;
}

/** PEM texts. */
export interface HttpTls {
  readonly ca: string;
  readonly cert?: string;
  readonly key?: string;
}

export interface HttpRequestOptions {
  /** Instead of the URL's path: sent as it is. */
  readonly rawPath?: string;
  readonly method?: string | undefined;
  /** An object goes as JSON, a text or bytes as they are. */
  readonly body?: HttpBody;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly signal?: AbortSignal;
  /** For https. */
  readonly tls?: HttpTls;
  /** Default false: a connection of its own, so that none is left over from before a restart. */
  readonly keepAlive?: boolean;
  /** How long the other side may be silent, milliseconds; default for ever. */
  readonly timeoutMs?: number;
}

/** One HTTP request. */
export function httpRequest(url: string, options: HttpRequestOptions = {}): Promise<HttpAnswer> {
  const { body, signal, timeoutMs, tls } = options;
  const request = url.startsWith('https:') ? requestHttps : requestHttp;
  const raw = typeof body === 'string' || Buffer.isBuffer(body) || body === undefined ? body : JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const sent = request(
      url,
      {
        method: options.method ?? 'GET',
        ...(options.rawPath !== undefined && { path: options.rawPath }),
        ...(options.keepAlive !== true && { agent: false }),
        ...(timeoutMs !== undefined && { timeout: timeoutMs }),
        ...tls,
        headers: { ...(raw !== undefined && { 'content-length': Buffer.byteLength(raw) }), ...options.headers },
        ...(signal !== undefined && { signal }),
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => resolve(answer(response.statusCode ?? 0, response.headers, Buffer.concat(chunks))));
      },
    );
    sent.on('timeout', () => sent.destroy(new Error(`no answer within ${timeoutMs} ms: ${url}`)));
    sent.on('error', reject);
    sent.end(raw);
  });
}

function answer(status: number, headers: IncomingHttpHeaders, bytes: Buffer): HttpAnswer {
  const body = bytes.toString();
  return {
    status,
    headers,
    body,
    json<T>() {
      try {
        return JSON.parse(body) as T;
      } catch (cause) {
        throw new Error(`status ${status} with a body that is not JSON: ${body.slice(0, 500)}`, { cause });
      }
    },
  };
}
