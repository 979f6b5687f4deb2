import type { Clock } from '../../lib/clock.ts';
import type { Counter, Logger } from '../../telemetry/types.ts';

/** Each peer is logged at most this often for each reason, milliseconds. */
const LOG_EVERY_MS = 60_000;
/** Peers and reasons remembered; beyond it all are forgotten, so that strangers can't fill the memory. */
const MAX_REMEMBERED = 1_024;

/** Counts refused connections, and logs each peer and reason once in a while. */
export class Refusals {
  readonly #logged = new Map<string, number>();
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #counter: Counter;

  /** @param counter labels: listener, reason */
  constructor(clock: Clock, log: Logger, counter: Counter) {
    this.#clock = clock;
    this.#log = log;
    this.#counter = counter;
  }

  note(listener: string, peer: string, reason: string, detail: string): void {
    this.#counter.add(1, { listener, reason });
    const now = this.#clock.steady();
    const key = `${peer} ${reason}`;
    const last = this.#logged.get(key);
    if (last !== undefined && now - last < LOG_EVERY_MS) return;
    if (this.#logged.size >= MAX_REMEMBERED) this.#logged.clear();
    this.#logged.set(key, now);
    this.#log.warn('refused a connection', { listener, peer, reason, detail });
  }
}
