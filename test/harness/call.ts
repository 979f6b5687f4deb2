import type { AgentProcess } from './agent.ts';
import { type HttpAnswer, type HttpBody, type HttpTls, httpRequest } from './http.ts';

const TIMEOUT_MS = 30_000;

/** A request to an agent that must be answered with 200; resolves with the JSON of the answer. */
export async function callAgent<T = unknown>(
  agent: Pick<AgentProcess, 'http' | 'name'>,
  method: string,
  path: string,
  body?: HttpBody,
): Promise<T> {
  return bodyOf<T>(await agent.http(method, path, body), `${agent.name}: ${method} ${path}`);
}

/** With what an API that is protected is asked. */
export interface Access {
  readonly tls: HttpTls;
  readonly token: string;
}

let access: Access | undefined;

/** From here on {@link call} and {@link json} show this. */
export function useAccess(given: Access): void {
  access = given;
}

/** A request to the HTTP API at host:port or https://host:port, over kept connections. */
export function call(http: string, method: string, path: string, body?: HttpBody): Promise<HttpAnswer> {
  const base = http.includes('://') ? http : `http://${http}`;
  return httpRequest(`${base}${path}`, {
    method,
    body,
    keepAlive: true,
    timeoutMs: TIMEOUT_MS,
    ...(access === undefined ? {} : { tls: access.tls, headers: { 'x-consul-token': access.token } }),
  });
}

/** As {@link call}, for answers that must be 200 and JSON. */
export async function json<T>(http: string, method: string, path: string, body?: HttpBody): Promise<T> {
  return bodyOf<T>(await call(http, method, path, body), `${method} ${path}`);
}

function bodyOf<T>(answer: HttpAnswer, what: string): T {
  if (answer.status !== 200) throw new Error(`${what}: ${answer.status} ${answer.body}`);
  return (answer.body === '' ? undefined : answer.json()) as T;
}
