import type { Step } from '../../domain/queries/plan.ts';
import type { Clock, Timer } from '../../lib/clock.ts';
import type { QueryInstance } from '../../model/prepared-query.ts';
import type { Subscription, Subscriptions } from './subscriptions.ts';

interface Asked {
  askedAt: number;
  /** Absent as long as it was asked once only. */
  held?: { readonly subscription: Subscription; release(): void };
}

/** Subscriptions remembered at most; the one not asked for longest goes first. */
const MAX_ASKED = 512;
/** A subscription that nobody asks for this long is let go, milliseconds. */
const IDLE_MS = 60_000;

/**
 * Subscriptions in other datacenters that are asked again and again: from the second question on they are followed, so that
 * later ones cost no way there.
 */
export class AskedSubscriptions {
  readonly #subscriptions: Subscriptions;
  readonly #clock: Clock;
  readonly #asked = new Map<string, Asked>();
  #sweeper: Timer | undefined;

  constructor(subscriptions: Subscriptions, clock: Clock) {
    this.#subscriptions = subscriptions;
    this.#clock = clock;
  }

  /** The instances there, when they are followed; undefined when the datacenter has to be asked. */
  instances(step: Step, token: string): readonly QueryInstance[] | undefined {
    const key = JSON.stringify([step.datacenter, step.selection, token]);
    const before = this.#asked.get(key);
    const asked: Asked = before ?? { askedAt: 0 };
    asked.askedAt = this.#clock.now();
    this.#asked.delete(key);
    this.#asked.set(key, asked);
    if (before !== undefined) asked.held ??= this.#subscriptions.hold(step, token, () => undefined);
    else if (this.#asked.size > MAX_ASKED) this.#forget(this.#asked.keys().next().value as string);
    this.#sweeper ??= this.#clock.after(IDLE_MS, () => this.#sweep());
    return asked.held?.subscription.current === true ? asked.held.subscription.instances : undefined;
  }

  close(): void {
    this.#sweeper?.cancel();
    this.#sweeper = undefined;
    for (const key of this.#asked.keys()) this.#forget(key);
  }

  #sweep(): void {
    this.#sweeper = undefined;
    const before = this.#clock.now() - IDLE_MS;
    for (const [key, { askedAt }] of this.#asked) if (askedAt <= before) this.#forget(key);
    if (this.#asked.size > 0) this.#sweeper = this.#clock.after(IDLE_MS, () => this.#sweep());
  }

  #forget(key: string): void {
    this.#asked.get(key)?.held?.release();
    this.#asked.delete(key);
  }
}
