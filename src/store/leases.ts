import type { Clock, Timer } from '../lib/clock.ts';
import { IsthmusError } from '../lib/errors.ts';

interface Held {
  readonly ttlMs: number;
  readonly keys: Set<string>;
  timer: Timer;
  ending: boolean;
}

/** The live leases of an engine, the keys attached to them, and the timers that end them. */
export class Leases {
  readonly #clock: Clock;
  readonly #onExpired: (id: string) => void;
  readonly #leases = new Map<string, Held>();
  /** Which lease a key is attached to. */
  readonly #owner = new Map<string, string>();

  /** @param onExpired told once when a lease ran out; from then on it takes no keys and can't be kept. */
  constructor(clock: Clock, onExpired: (id: string) => void) {
    this.#clock = clock;
    this.#onExpired = onExpired;
  }

  /** Adds a lease with its full time to live ahead of it. */
  grant(id: string, ttlMs: number): void {
    const lease: Held = { ttlMs, keys: new Set(), timer: { cancel: () => undefined }, ending: false };
    this.#leases.set(id, lease);
    this.#arm(id, lease, ttlMs);
  }

  keep(id: string): void {
    const lease = this.require(id);
    lease.timer.cancel();
    this.#arm(id, lease, lease.ttlMs);
  }

  /** Throws `not_found` unless the lease lives. */
  require(id: string): Held {
    const lease = this.#leases.get(id);
    if (lease === undefined || lease.ending) throw new IsthmusError('not_found', `lease ${id} has ended`);
    return lease;
  }

  has(id: string): boolean {
    return this.#leases.has(id);
  }

  /** The lease that `key` is attached to. */
  of(key: string): string | undefined {
    return this.#owner.get(key);
  }

  /** Hangs `key` on `id`, or on no lease. */
  attach(key: string, id: string | undefined): void {
    const before = this.#owner.get(key);
    if (before === id) return;
    if (before !== undefined) this.#leases.get(before)?.keys.delete(key);
    if (id === undefined) {
      this.#owner.delete(key);
      return;
    }
    this.#leases.get(id)?.keys.add(key);
    this.#owner.set(key, id);
  }

  keysOf(id: string): readonly string[] {
    return [...(this.#leases.get(id)?.keys ?? [])];
  }

  /** From now on the lease takes no keys and can't be kept. */
  end(id: string): void {
    const lease = this.#leases.get(id);
    if (lease !== undefined) lease.ending = true;
  }

  /** Hangs exactly these keys on leases. */
  reattach(leased: Iterable<{ readonly key: string; readonly lease: string }>): void {
    this.#owner.clear();
    for (const lease of this.#leases.values()) lease.keys.clear();
    for (const { key, lease } of leased) this.attach(key, lease);
  }

  /** Forgets a lease whose keys are gone. */
  remove(id: string): void {
    const lease = this.#leases.get(id);
    if (lease === undefined) return;
    lease.timer.cancel();
    for (const key of lease.keys) this.#owner.delete(key);
    this.#leases.delete(id);
  }

  /** Ends the lease again after `ms`, when it could not be ended now. */
  retry(id: string, ms: number): void {
    const lease = this.#leases.get(id);
    if (lease !== undefined) this.#arm(id, lease, ms);
  }

  clear(): void {
    for (const lease of this.#leases.values()) lease.timer.cancel();
    this.#leases.clear();
    this.#owner.clear();
  }

  #arm(id: string, lease: Held, ms: number): void {
    lease.timer = this.#clock.after(ms, () => {
      lease.ending = true;
      this.#onExpired(id);
    });
  }
}
