import type { Clock } from '../../lib/clock.ts';
import type { Counter, Logger } from '../../telemetry/types.ts';

/** Each peer is logged at most this often, milliseconds. */
const LOG_EVERY_MS = 60_000;
/** Peers remembered; beyond it all are forgotten, so that strangers can't fill the memory. */
const MAX_PEERS = 1_024;

/** Counts refused connections, and logs each peer once in a while. */
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
    const now = this.#clock.now();
    const last = this.#logged.get(peer);
    if (last !== undefined && now - last < LOG_EVERY_MS) return;
    if (this.#logged.size >= MAX_PEERS) this.#logged.clear();
    this.#logged.set(peer, now);
    this.#log.warn('refused a connection', { listener, peer, reason, detail });
  }
}
