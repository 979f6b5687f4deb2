import type { Clock } from '../../lib/clock.ts';
import { abortReason } from '../../lib/signals.ts';

/** A value with the index at which it last changed, as blocking queries count. */
export interface Version<T> {
  readonly value: T;
  readonly index: number;
}

/** An answer from a cache: the edge turns `cacheHit` and `ageMs` into X-Cache and Age. */
export interface CachedAnswer<T> extends Version<T> {
  readonly cacheHit: boolean;
  readonly ageMs: number;
}

export interface CachedRead {
  readonly signal: AbortSignal;
  /** Block until the index is above this, or `waitMs` has passed. */
  readonly index?: number;
  /** Milliseconds; default 300,000. */
  readonly waitMs?: number;
}

const DEFAULT_WAIT_MS = 300_000;

/** One value that changes, and those who follow it. */
export class Held<T> {
  readonly #clock: Clock;
  readonly #listeners = new Set<() => void>();
  #current: Version<T> | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get current(): Version<T> | undefined {
    return this.#current;
  }

  get followers(): number {
    return this.#listeners.size;
  }

  /** The index never goes back: a server that counts from a lower number still wakes those who wait. */
  set(value: T, index: number): void {
    const least = (this.#current?.index ?? 0) + 1;
    this.#current = { value, index: Math.max(index, least) };
    for (const listener of [...this.#listeners]) listener();
  }

  /** Calls `listener` after every change; returns the function that ends it. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** The value once its index is above `options.index`; the present one, or undefined, when the time is up. */
  wait(options: CachedRead): Promise<Version<T> | undefined> {
    const after = options.index ?? 0;
    const { signal } = options;
    return new Promise((resolve, reject) => {
      if (this.#current !== undefined && this.#current.index > after) {
        resolve(this.#current);
        return;
      }
      if (signal.aborted) {
        reject(abortReason(signal));
        return;
      }
      const finish = (): void => {
        end();
        timer.cancel();
        signal.removeEventListener('abort', onAbort);
      };
      const end = this.subscribe(() => {
        if (this.#current === undefined || this.#current.index <= after) return;
        finish();
        resolve(this.#current);
      });
      const timer = this.#clock.after(options.waitMs || DEFAULT_WAIT_MS, () => {
        finish();
        resolve(this.#current);
      });
      const onAbort = (): void => {
        finish();
        reject(abortReason(signal));
      };
      signal.addEventListener('abort', onAbort, { once: true });
    });
  }

  /** The present value, if any, then every newer one; a slow reader skips to the newest. */
  async *follow(signal: AbortSignal): AsyncGenerator<Version<T>, void, void> {
    let index = 0;
    while (!signal.aborted) {
      const version = await this.wait({ signal, index });
      if (version === undefined || version.index <= index) continue; // the wait's time was up
      index = version.index;
      yield version;
    }
  }
}
