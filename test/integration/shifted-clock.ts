import { type Clock, systemClock, type Timer } from '../../src/lib/clock.ts';

interface Armed {
  readonly at: number;
  readonly fire: () => void;
  real: Timer;
}

/**
 * Runs with the real time, and can be put forward: what falls due then fires at once, in order, as after a machine
 * slept.
 */
export class ShiftedClock implements Clock {
  #shift = 0;
  readonly #armed = new Set<Armed>();

  now(): number {
    return systemClock.now() + this.#shift;
  }

  steady(): number {
    return systemClock.steady() + this.#shift;
  }

  after(ms: number, fire: () => void): Timer {
    const armed: Armed = {
      at: this.now() + ms,
      fire: () => {
        armed.real.cancel();
        this.#armed.delete(armed);
        fire();
      },
      real: { cancel: () => undefined },
    };
    this.#armed.add(armed);
    armed.real = systemClock.after(ms, armed.fire);
    return {
      cancel: () => {
        armed.real.cancel();
        this.#armed.delete(armed);
      },
    };
  }

  /** It is never set: what is due fires. */
  onJump(): () => void {
    return () => undefined;
  }

  advance(ms: number): void {
    this.#shift += ms;
    const due = [...this.#armed].filter(({ at }) => at <= this.now()).sort((a, b) => a.at - b.at);
    for (const armed of due) if (this.#armed.has(armed)) armed.fire();
  }
}
