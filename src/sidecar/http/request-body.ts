import type { Readable, Writable } from 'node:stream';
import type { HeaderLine } from '../../model/layer7/request.ts';
import type { ClientCall } from './origin.ts';
import type { ServerCall } from './server-call.ts';

/** Bytes that all requests of a sidecar keep to be sent again. */
export interface BodyBudget {
  left: number;
}

/**
 * The body of a request on its way out, which can be sent again while all of it so far is kept: up to a bound, and only
 * while there may be another attempt.
 */
export class RequestBody {
  readonly #source: Readable;
  readonly #trailers: () => readonly HeaderLine[];
  readonly #budget: BodyBudget;
  readonly #onChunk: () => void;
  #kept: Buffer[] | undefined = [];
  #size = 0;
  #max: number;
  #started = false;
  #ended: boolean;
  #sink: ClientCall | undefined;
  #onEnd: (() => void) | undefined;

  constructor(
    call: Pick<ServerCall, 'body' | 'hasBody' | 'trailers'>,
    options: { readonly keep: number; readonly budget: BodyBudget; readonly onChunk: () => void },
  ) {
    this.#source = call.body;
    this.#trailers = () => call.trailers();
    this.#ended = !call.hasBody;
    this.#max = options.keep;
    this.#budget = options.budget;
    this.#onChunk = options.onChunk;
    if (!call.hasBody) call.body.resume();
  }

  /** The whole of what was sent so far can be sent again. */
  get replayable(): boolean {
    return this.#kept !== undefined;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Called once the whole body has come. */
  onEnd(listener: () => void): void {
    if (this.#ended) listener();
    else this.#onEnd = listener;
  }

  /** Sends what was kept, then what comes. */
  sendTo(sink: ClientCall): void {
    this.#sink = sink;
    for (const chunk of this.#kept ?? []) sink.body.write(chunk);
    if (this.#ended) {
      sink.end(this.#trailers());
      return;
    }
    const resume = (): void => {
      if (this.#sink === sink) this.#source.resume();
    };
    sink.body.on('drain', resume);
    if (this.#started) {
      resume();
      return;
    }
    this.#started = true;
    this.#source.on('data', (chunk: Buffer) => this.#chunk(chunk));
    this.#source.once('end', () => this.#end());
  }

  /** Nothing more goes to the present attempt. */
  detach(): void {
    this.#sink = undefined;
    if (!this.#ended && this.#started) this.#source.pause();
  }

  /** There will be no other attempt: nothing is kept any more. */
  release(): void {
    this.#budget.left += this.#size;
    this.#size = 0;
    this.#kept = undefined;
    this.#max = 0;
  }

  #chunk(chunk: Buffer): void {
    this.#onChunk();
    if (this.#kept !== undefined) {
      if (this.#size + chunk.length > this.#max || chunk.length > this.#budget.left) this.release();
      else {
        this.#kept.push(chunk);
        this.#size += chunk.length;
        this.#budget.left -= chunk.length;
      }
    }
    const to: Writable | undefined = this.#sink?.body;
    if (to !== undefined && !to.destroyed && !to.write(chunk)) this.#source.pause();
  }

  #end(): void {
    this.#ended = true;
    this.#sink?.end(this.#trailers());
    this.#onEnd?.();
  }
}
