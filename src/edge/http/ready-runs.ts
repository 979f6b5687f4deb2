import type { IncomingMessage, ServerResponse } from 'node:http';
import { bucketOf } from '../../lib/address.ts';
import { type Admission, TOO_MANY_REQUESTS, TOO_MANY_WATCHERS } from './admission.ts';
import type { Answers } from './answers.ts';
import type { ReadyCall } from './calls.ts';
import type { CompiledResponse } from './compiled.ts';
import type { Waiting } from './direct.ts';
import { exchangeSignal, type OpenExchanges } from './exchange.ts';
import type { RefusalReason } from './listen.ts';
import { requestToken } from './token.ts';

export interface ReadyRunsDeps {
  readonly answers: Answers;
  readonly admission: Admission;
  readonly exchanges: OpenExchanges;
  /** Aborts when the edge stops. */
  readonly stopping: AbortSignal;
  readonly onRefused: (reason: RefusalReason, client: string) => void;
}

/** Runs calls that are ready, for requests that Node has parsed and for those that came straight from a socket. */
export class ReadyRuns {
  readonly #deps: ReadyRunsDeps;

  constructor(deps: ReadyRunsDeps) {
    this.#deps = deps;
  }

  /** True when the client may have one more open request that waits; otherwise it is answered so. */
  mayWatch(response: ServerResponse): boolean {
    const client = response.socket?.remoteAddress;
    const slot = this.#deps.admission.watchers.admit(bucketOf(client));
    if (slot === undefined) {
      this.#deps.onRefused('watchers', client ?? '');
      this.#deps.answers.send(response, TOO_MANY_WATCHERS);
      return false;
    }
    response.once('close', slot.release);
    return true;
  }

  parsed(ready: ReadyCall, incoming: IncomingMessage, response: ServerResponse): void {
    const { answers, exchanges, stopping } = this.#deps;
    if (ready.call.waits && !this.mayWatch(response)) return;
    const signal = ready.call.waits ? exchangeSignal(response, exchanges).signal : stopping;
    this.#run(ready, requestToken(incoming.rawHeaders, ready.query), signal)
      .then((compiled) => answers.write(response, compiled))
      .catch((error: unknown) => answers.defect(error, response));
  }

  async direct(ready: ReadyCall, token: string | undefined, waiting: Waiting | undefined): Promise<CompiledResponse> {
    const { answers, admission, stopping, onRefused } = this.#deps;
    try {
      if (!admission.enter()) {
        onRefused('in-flight', waiting?.client ?? '');
        return answers.compile(TOO_MANY_REQUESTS);
      }
      if (waiting === undefined) return await this.#run(ready, token, stopping);
      return await this.#runWaiting(ready, token, waiting);
    } finally {
      // While stopping, the answer must be written before whoever waits for the last request gets to run.
      if (stopping.aborted) setImmediate(admission.leave);
      else admission.leave();
    }
  }

  async #runWaiting(ready: ReadyCall, token: string | undefined, waiting: Waiting): Promise<CompiledResponse> {
    const { answers, admission, exchanges, onRefused } = this.#deps;
    const { client, controller } = waiting;
    const slot = admission.watchers.admit(bucketOf(client));
    if (slot === undefined) {
      onRefused('watchers', client ?? '');
      return answers.compile(TOO_MANY_WATCHERS);
    }
    exchanges.add(controller);
    try {
      return await this.#run(ready, token, controller.signal);
    } finally {
      exchanges.delete(controller);
      slot.release();
    }
  }

  /** Never rejects: a failure becomes the answer that tells it. */
  async #run(ready: ReadyCall, token: string | undefined, signal: AbortSignal): Promise<CompiledResponse> {
    const { call, entry, pretty } = ready;
    const { answers } = this.#deps;
    entry.requests += 1;
    try {
      return answers.ofRoute(entry, await call.run(token, signal), pretty, true);
    } catch (error) {
      return answers.ofFailure(entry, error);
    }
  }
}
