import type { ApiResponse } from './route.ts';

/** An answer ready to be written. */
export interface CompiledResponse {
  readonly status: number;
  /** Names and values in turn, as ServerResponse.writeHead takes them. */
  readonly headers: readonly string[];
  /** Undefined for a stream. */
  readonly body: Buffer | undefined;
  readonly stream: AsyncIterable<string | Uint8Array> | undefined;
}

const JSON_TYPE = 'application/json';
const TEXT_TYPE = 'text/plain; charset=utf-8';
const STREAM_TYPE = 'application/x-ndjson';
const NOTHING = Buffer.alloc(0);

/** @param common headers that every answer of an endpoint carries, names and values in turn. */
export function compileResponse(response: ApiResponse, common: readonly string[], pretty: boolean): CompiledResponse {
  const headers = [...common];
  for (const [name, value] of Object.entries(response.headers ?? {})) headers.push(name, value);
  const [body, type] = bodyOf(response, pretty);
  const contentType = response.contentType ?? type;
  if (contentType !== undefined) headers.push('Content-Type', contentType);
  if (body !== undefined) headers.push('Content-Length', String(body.length));
  return { status: response.status ?? 200, headers, body, stream: response.stream };
}

function bodyOf(response: ApiResponse, pretty: boolean): [body: Buffer | undefined, type: string | undefined] {
  if (response.bytes !== undefined) return [response.bytes, JSON_TYPE];
  if (response.text !== undefined) return [Buffer.from(response.text), TEXT_TYPE];
  if (response.stream !== undefined) return [undefined, STREAM_TYPE];
  if (!('json' in response)) return [NOTHING, undefined];
  // Consul ends its indented form with a newline, and the other one not.
  const text = pretty ? `${JSON.stringify(response.json, null, 4)}\n` : JSON.stringify(response.json);
  return [Buffer.from(text), JSON_TYPE];
}
