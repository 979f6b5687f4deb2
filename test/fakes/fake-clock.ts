import type { Clock, Timer } from '../../src/lib/clock.ts';

interface Armed {
  at: number;
  readonly order: number;
  readonly fire: () => void;
}

/** A clock that stands still until told; timers fire in order of their time. */
export class FakeClock implements Clock {
  #now: number;
  /** By how much the time of day was set. */
  #set = 0;
  #order = 0;
  readonly #armed = new Set<Armed>();
  readonly #watchers = new Set<() => void>();
  readonly #jumpListeners = new Set<(byMs: number) => void>();

  constructor(start: number | string = '2026-01-01T00:00:00Z') {
    this.#now = typeof start === 'number' ? start : Date.parse(start);
  }

  now(): number {
    return this.#now;
  }

  steady(): number {
    return this.#now - this.#set;
  }

  after(ms: number, fire: () => void): Timer {
    const armed: Armed = { at: this.#now + Math.max(0, ms), order: this.#order++, fire };
    this.#armed.add(armed);
    for (const watcher of this.#watchers) watcher();
    return { cancel: () => this.#armed.delete(armed) };
  }

  /** Time of the next timer, or undefined. */
  next(): number | undefined {
    let next: number | undefined;
    for (const { at } of this.#armed) if (next === undefined || at < next) next = at;
    return next;
  }

  /** Resolves once `count` timers are armed. */
  async waitArmed(count = 1): Promise<void> {
    while (this.#armed.size < count) {
      await new Promise<void>((resolve) => {
        const watcher = (): void => {
          this.#watchers.delete(watcher);
          resolve();
        };
        this.#watchers.add(watcher);
      });
    }
  }

  /** Sets the time forward; the timers between fire with the next step of {@link advance}, as after a machine slept. */
  jump(ms: number): void {
    this.#now += ms;
  }

  onJump(listener: (byMs: number) => void): () => void {
    this.#jumpListeners.add(listener);
    return () => this.#jumpListeners.delete(listener);
  }

  /**
   * Sets the time of day, as an operator or NTP does: timers keep the time that they have left, and listeners are
   * called.
   */
  async set(byMs: number): Promise<void> {
    this.#now += byMs;
    this.#set += byMs;
    for (const armed of this.#armed) armed.at += byMs;
    for (const listener of [...this.#jumpListeners]) listener(byMs);
    await settle();
  }

  /** Moves time on, firing each timer at its time and letting what it started settle before the next one. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    for (;;) {
      await settle();
      let first: Armed | undefined;
      for (const armed of this.#armed) {
        if (armed.at > end) continue;
        if (first === undefined || armed.at < first.at || (armed.at === first.at && armed.order < first.order))
          first = armed;
      }
      if (first === undefined) break;
      this.#armed.delete(first);
      this.#now = Math.max(this.#now, first.at);
      first.fire();
    }
    this.#now = end;
    await settle();
  }
}

/** Lets pending promises and immediates run. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 4; turn += 1) await new Promise<void>((resolve) => setImmediate(resolve));
}
