import type { Duplex } from 'node:stream';
import { Backoff } from '../../lib/backoff.ts';
import type { Clock, Timer } from '../../lib/clock.ts';
import { sleep } from '../../lib/signals.ts';
import type { HeaderLine, HttpRequest } from '../../model/layer7/request.ts';
import type { Retries } from '../../model/layer7/route-table.ts';
import { type End, pump } from '../wire/pump.ts';
import { answerLocally, disconnected, type LocalReply, NO_INSTANCE, TOO_SLOW } from './local-reply.ts';
import { BadRequest, type Reply } from './message.ts';
import { type ClientCall, type Origin, StreamEnded, type Upgraded } from './origin.ts';
import { type BodyBudget, RequestBody } from './request-body.ts';
import { type Failure, IDEMPOTENT, retriesFailure, retriesReply } from './retry.ts';
import type { ServerCall } from './server-call.ts';

/** One place that a request can be sent to, and what is said about how it did. */
export interface Place {
  readonly origin: Origin;
  answered(reply: Reply): void;
  /** @returns what the caller is answered, unless another place is tried; undefined: the usual. */
  failed(failure: Failure, error: unknown): LocalReply | undefined;
  /** Called once, however it ended. */
  ended(): void;
}

export interface Plan {
  readonly head: HttpRequest;
  /** From the end of the request until the end of the answer, milliseconds; 0: for ever. */
  readonly requestTimeoutMs: number;
  /** Without a byte either way, milliseconds; 0: for ever. */
  readonly idleTimeoutMs: number;
  readonly retries?: Retries;
  /** The headers of an answer as the caller gets them. */
  readonly answer: (headers: readonly HeaderLine[]) => readonly HeaderLine[];
  /** The next place; undefined when there is none that was not tried. */
  readonly next: () => Place | undefined;
}

export interface ForwardDeps {
  readonly clock: Clock;
  readonly budget: BodyBudget;
  /** Aborted when the sidecar stops. */
  readonly signal: AbortSignal;
  /** Bytes of one request that may be kept to be sent again. */
  readonly keep: number;
  readonly onRetry: () => void;
  /** Called once, with the status that the caller got; 0: none. */
  readonly onDone: (status: number) => void;
}

const STREAM_IDLE: LocalReply = { status: 504, text: 'stream timeout' };

/**
 * Sends a request on and its answer back. What is tried again is only what can't have been carried out, or what the
 * route allows.
 */
export function forward(call: ServerCall, plan: Plan, deps: ForwardDeps): void {
  new Exchange(call, plan, deps).start();
}

class Exchange {
  readonly #call: ServerCall;
  readonly #plan: Plan;
  readonly #deps: ForwardDeps;
  readonly #body: RequestBody;
  #client: ClientCall | undefined;
  #place: Place | undefined;
  #timeout: Timer | undefined;
  #idle: Timer | undefined;
  #moved = true;
  #done = false;
  #status = 0;
  #retriesLeft: number;
  #answerEnded = false;
  readonly #backoff = new Backoff({ baseMs: 25, maxMs: 250 });

  constructor(call: ServerCall, plan: Plan, deps: ForwardDeps) {
    this.#call = call;
    this.#plan = plan;
    this.#deps = deps;
    this.#retriesLeft = plan.retries?.count ?? 0;
    const { keep, budget } = deps;
    this.#body = new RequestBody(call, { keep, budget, onChunk: () => this.#touch() });
  }

  start(): void {
    const { clock } = this.#deps;
    const { requestTimeoutMs, idleTimeoutMs } = this.#plan;
    this.#call.onClose(() => this.#finish());
    if (requestTimeoutMs > 0)
      this.#body.onEnd(() => {
        if (!this.#done) this.#timeout = clock.after(requestTimeoutMs, () => this.#giveUp(TOO_SLOW));
      });
    if (idleTimeoutMs > 0) this.#watchIdle(idleTimeoutMs);
    this.#run().catch((error: unknown) => {
      const bad = error instanceof BadRequest || error instanceof TypeError;
      this.#giveUp(bad ? { status: 400, text: 'the request can not be sent on' } : disconnected(String(error)));
    });
  }

  async #run(): Promise<void> {
    let last: LocalReply = NO_INSTANCE;
    for (;;) {
      if (this.#done) return;
      const place = this.#plan.next();
      if (place === undefined) {
        this.#giveUp(last);
        return;
      }
      this.#place = place;
      let client: ClientCall;
      try {
        client = await place.origin.send(this.#plan.head, this.#call.hasBody, this.#call.upgrade);
      } catch (error) {
        if (error instanceof TypeError) throw error; // it is the request that is wrong
        const reply = place.failed('connect', error);
        this.#leave(place);
        last = disconnected('remote connection failure');
        if (reply !== undefined) {
          this.#giveUp(reply);
          return;
        }
        continue;
      }
      client.reply.catch(() => undefined); // it may be given up before it is waited for
      if (this.#done) {
        client.abort();
        this.#leave(place);
        return;
      }
      this.#client = client;
      this.#body.sendTo(client);
      let reply: Reply | Upgraded;
      try {
        reply = await client.reply;
      } catch (error) {
        if (this.#done) return;
        this.#body.detach();
        const failure: Failure = error instanceof StreamEnded && error.refused ? 'refused stream' : 'reset';
        const own = place.failed(failure, error);
        this.#leave(place);
        last = own ?? disconnected('connection termination');
        if (await this.#again(failure, client)) continue;
        this.#giveUp(last);
        return;
      }
      if (this.#done) return;
      if ('stream' in reply) {
        this.#join(reply);
        return;
      }
      place.answered(reply);
      if (await this.#retriesAnswer(reply)) {
        this.#body.detach();
        reply.body.resume();
        client.abort();
        this.#leave(place);
        continue;
      }
      if (!this.#done) this.#pass(reply);
      return;
    }
  }

  /** Whether a request whose connection broke is sent again. */
  async #again(failure: Failure, client: ClientCall): Promise<boolean> {
    if (!this.#body.replayable) return false;
    // The other side closed an idle connection at the moment when it was used again, or has not looked at the request.
    const stale = client.reused && IDEMPOTENT.has(this.#plan.head.method);
    if (stale || failure === 'refused stream') {
      this.#deps.onRetry();
      return true;
    }
    return retriesFailure(this.#plan.retries ?? NO_RETRIES, failure) && (await this.#useRetry());
  }

  async #retriesAnswer(reply: Reply): Promise<boolean> {
    const { retries } = this.#plan;
    if (retries === undefined || !this.#body.replayable) return false;
    return retriesReply(retries, reply) && (await this.#useRetry());
  }

  async #useRetry(): Promise<boolean> {
    const { clock, onRetry, signal } = this.#deps;
    if (this.#retriesLeft === 0) return false;
    this.#retriesLeft -= 1;
    onRetry();
    await sleep(clock, this.#backoff.next(), signal);
    return true;
  }

  #pass(reply: Reply): void {
    this.#body.release();
    this.#status = reply.status;
    const { body } = reply;
    const sink = this.#call.respond({ status: reply.status, headers: this.#plan.answer(reply.headers) });
    let ended = false;
    body.on('data', (chunk: Buffer) => {
      this.#touch();
      if (!sink.stream.write(chunk)) body.pause();
    });
    sink.stream.on('drain', () => body.resume());
    body.once('end', () => {
      ended = true;
      this.#answerEnded = this.#body.ended;
      sink.end(reply.trailers());
      if (!this.#body.ended) this.#client?.abort(); // answered before all of the request was read
    });
    body.once('close', () => {
      if (!ended) this.#call.abort();
    });
  }

  #join({ reply, stream }: Upgraded): void {
    const { clock } = this.#deps;
    const { upgrade = '' } = this.#call;
    this.#body.release();
    this.#timeout?.cancel();
    this.#status = reply.status;
    this.#place?.answered(reply);
    const headers = [...this.#plan.answer(reply.headers), ['connection', 'upgrade'], ['upgrade', upgrade]] as const;
    const near = this.#call.accept({ status: reply.status, headers });
    pump(plainEnd(near), plainEnd(stream), {
      clock,
      idleTimeoutMs: this.#plan.idleTimeoutMs,
      onClose: () => this.#finish(),
    });
  }

  #touch(): void {
    this.#moved = true;
  }

  #watchIdle(afterMs: number): void {
    this.#idle = this.#deps.clock.after(afterMs, () => {
      if (!this.#moved) {
        this.#giveUp(STREAM_IDLE);
        return;
      }
      this.#moved = false;
      this.#watchIdle(afterMs);
    });
  }

  #giveUp(reply: LocalReply): void {
    if (this.#done) return;
    if (this.#call.unanswered) this.#status = reply.status;
    answerLocally(this.#call, reply);
    this.#finish();
  }

  #leave(place: Place): void {
    if (this.#place !== place) return;
    this.#place = undefined;
    place.ended();
  }

  #finish(): void {
    if (this.#done) return;
    this.#done = true;
    this.#timeout?.cancel();
    this.#idle?.cancel();
    this.#body.detach();
    this.#body.release();
    if (this.#place !== undefined) this.#leave(this.#place);
    if (!this.#call.body.destroyed) this.#call.body.resume();
    this.#deps.onDone(this.#status);
    const client = this.#client;
    if (!this.#answerEnded) client?.abort(); // else its connection may serve others
  }
}

const NO_RETRIES: Retries = { count: 0, on: [], statusCodes: [] };

function plainEnd(stream: Duplex): End {
  return { stream, reset: () => void stream.destroy(), failed: () => false };
}
