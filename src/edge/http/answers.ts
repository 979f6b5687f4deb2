import type { ServerResponse } from 'node:http';
import type { Clock } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import type { Logger } from '../../telemetry/types.ts';
import { type CompiledResponse, compileResponse } from './compiled.ts';
import { errorResponse } from './error-response.ts';
import type { HttpMeters } from './meters.ts';
import type { ApiResponse } from './route.ts';
import { sendResponse } from './send.ts';
import type { PathEntry } from './table.ts';

export interface AnswersDeps {
  /** Names and values in turn of the headers of every answer. */
  readonly common: readonly string[];
  readonly meters: HttpMeters;
  readonly clock: Clock;
  readonly log: Logger;
  readonly writeMs: number;
}

/** Makes answers ready to be written, failures among them, and counts those. */
export class Answers {
  readonly #deps: AnswersDeps;
  readonly #compiled = new WeakMap<ApiResponse, CompiledResponse>();

  constructor(deps: AnswersDeps) {
    this.#deps = deps;
  }

  compile(answer: ApiResponse): CompiledResponse {
    return compileResponse(answer, this.#deps.common, false);
  }

  /** Of a route. @param shared the same object may be answered again: what it compiles to is kept with it */
  ofRoute(entry: PathEntry, answer: ApiResponse, pretty: boolean, shared = false): CompiledResponse {
    let compiled = shared ? this.#compiled.get(answer) : undefined;
    if (compiled === undefined) {
      compiled = compileResponse(answer, this.#deps.common, pretty);
      if (shared) this.#compiled.set(answer, compiled);
    }
    const { status } = compiled;
    if (status >= 400) this.#deps.meters.failures.add(1, { path: entry.path, status: String(status) });
    return compiled;
  }

  ofFailure(entry: PathEntry, thrown: unknown): CompiledResponse {
    return this.compile(this.#failure(entry, thrown));
  }

  send(response: ServerResponse, answer: ApiResponse): void {
    this.write(response, this.compile(answer));
  }

  write(response: ServerResponse, compiled: CompiledResponse): void {
    sendResponse(response, compiled, this.#deps.clock, this.#deps.writeMs);
  }

  fail(entry: PathEntry, response: ServerResponse, thrown: unknown): void {
    const answer = this.#failure(entry, thrown);
    if (response.headersSent)
      response.destroy(); // a stream that breaks must not look complete
    else this.send(response, answer);
  }

  /** What the router refused. */
  failRouting(response: ServerResponse, error: { readonly statusCode?: number; readonly message: string }): void {
    const { statusCode: status = 500, message: text } = error;
    if (status >= 500) this.#deps.log.error('http request failed', { error: text });
    this.send(response, { status, text });
  }

  /** What should not happen while an answer is written costs the connection, not the process. */
  defect(thrown: unknown, response?: ServerResponse): void {
    const error = IsthmusError.from(thrown);
    this.#deps.log.error('http answer failed', { error: error.message, cause: error.cause });
    response?.destroy();
  }

  #failure({ path }: PathEntry, thrown: unknown): ApiResponse {
    const error = IsthmusError.from(thrown);
    if (error.code === 'internal')
      this.#deps.log.error('http request failed', { path, error: error.message, cause: error.cause });
    const answer = errorResponse(error);
    this.#deps.meters.failures.add(1, { path, status: String(answer.status) });
    return answer;
  }
}
