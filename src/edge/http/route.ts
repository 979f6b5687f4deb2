import type { RouteRule } from '../../agent/access/rules.ts';
import type { IsthmusError } from '../../lib/errors.ts';
import type { Query } from './query.ts';

/**
 * Routes as data: the server, the 405 texts, the reference page and the guard of the agent's own endpoints read the
 * same table.
 */

export type Method = 'GET' | 'PUT' | 'POST' | 'DELETE';

export interface QueryParameter {
  readonly name: string;
  /** One sentence for the reference page. */
  readonly about: string;
  /** `none`: taken from Consul's clients and not looked at, since it is always so here. Default: it counts. */
  readonly effect?: 'none';
}

/**
 * What a token must grant, as Consul's documentation names it. For the reference page; `rule` says who decides it, and
 * `reference.test.ts` that it is what suffices on a running agent.
 */
export type AclRule = 'none' | 'management' | AclRight | `${AclRight},${AclRight}`;

type AclRight =
  | 'acl:read'
  | 'acl:write'
  | 'agent:read'
  | 'agent:write'
  | 'node:read'
  | 'node:write'
  | 'service:read'
  | 'event:read'
  | 'event:write'
  | 'service:write'
  | 'intentions:read'
  | 'key:read'
  | 'key:list'
  | 'key:write'
  | 'session:read'
  | 'session:write'
  | 'intentions:write'
  | 'query:read'
  | 'query:write'
  | 'operator:read'
  | 'operator:write';

export interface ApiRequest {
  readonly method: string;
  /** Undecoded path, without the query. */
  readonly path: string;
  /** Decoded values of the path's parts. */
  readonly params: Readonly<Record<string, string>>;
  readonly query: Query;
  /** From X-Consul-Token, `Authorization: Bearer` or ?token=. */
  readonly token: string | undefined;
  /** Aborts when the client goes away, when the edge stops, or when the request's time is up. */
  readonly signal: AbortSignal;
  /** The whole body; empty when there is none. At most the edge's limit. */
  readonly body: Buffer;
  /** The body as it arrives, for a route that takes it so. An upload that breaks off fails with `cancelled`. */
  readonly bodyStream: AsyncIterable<Uint8Array>;
  /** Notes a field of the body that is not known here; the answer names it. */
  readonly passOver?: (path: string) => void;
  /** Address of the client, without its port. */
  readonly remoteAddress: string;
  header(name: string): string | undefined;
}

export interface BodyLimit {
  readonly maxBytes: number;
  /** @param bytes of the body as announced, or as far as it was read */
  refuse(bytes: number): IsthmusError;
}

/**
 * An answer. `json`, `text`, `bytes` and `stream` exclude one another; none of them is an empty body without a type.
 */
export interface ApiResponse {
  /** Default 200. */
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Written as JSON, indented when ?pretty is given. */
  readonly json?: unknown;
  readonly text?: string;
  readonly bytes?: Buffer;
  /** Lines or bytes sent as they come; ends when the iterable does or the client goes away. */
  readonly stream?: AsyncIterable<string | Uint8Array>;
  /** Default: application/json for `json` and `bytes`, "text/plain; charset=utf-8" for `text`. */
  readonly contentType?: string;
}

/** A call made ready from a URL; kept by the edge and run for every request with that URL. */
export interface PreparedCall {
  /** It may wait long: it gets a signal of its own, which aborts when the client goes away. */
  readonly waits: boolean;
  /** Answers that are the same object are written from the same bytes. */
  run(token: string | undefined, signal: AbortSignal): Promise<ApiResponse>;
}

export interface Route {
  readonly method: Method;
  /**
   * `:name` is one part of the path; `*name` as the last one takes all that remains, which may be empty or hold '/'.
   */
  readonly path: string;
  /** One sentence for the reference page. */
  readonly about: string;
  readonly acl: AclRule;
  /** Who decides whether it is answered, and how. */
  readonly rule: RouteRule;
  readonly query?: readonly QueryParameter[];
  /**
   * `bytes`: what `*name` stands for need not be UTF-8; it is a text as lib/bytes-in-text.ts makes it. All routes of
   * the path say so.
   */
  readonly rest?: 'bytes';
  /** Another limit of the body than the edge's, and the refusal of a larger one. */
  readonly bodyLimit?: BodyLimit;
  /** `stream`: the body is of any size and read as it arrives, from `bodyStream`; the client's time is not limited. */
  readonly body?: 'stream';
  /** May throw an IsthmusError: model/status.ts says which status it becomes; its message is the body. */
  handle(request: ApiRequest): ApiResponse | Promise<ApiResponse>;
  /** For a GET that depends on nothing but its URL and token: spares repeated requests all parsing. */
  prepare?(params: Readonly<Record<string, string>>, query: Query): PreparedCall;
}

/** 200 with nothing in it: what most writes to the agent answer. */
export const EMPTY: ApiResponse = {};

export function jsonResponse(value: unknown, status = 200): ApiResponse {
  return { status, json: value };
}

/** `contentType` undefined is Consul's error form, "text/plain; charset=utf-8". */
export function textResponse(status: number, text: string, contentType?: string): ApiResponse {
  return contentType === undefined ? { status, text } : { status, text, contentType };
}
