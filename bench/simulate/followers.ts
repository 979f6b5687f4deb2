import type { SimulatedAgent } from './simulated-agent.ts';

/** Who follows which service, and when they are told. */
export class Followers {
  readonly #counts = new Map<string, number>();
  readonly #onWake = new Map<string, () => void>();
  #first = 0;
  #total = 0;

  /** @param passing only the healthy instances */
  add(agent: SimulatedAgent, service: string, passing = true): void {
    this.#counts.set(service, this.of(service) + 1);
    this.#total += 1;
    let answered = false;
    agent.follow(service, passing, () => {
      if (!answered) this.#first += 1;
      answered = true;
      this.#onWake.get(service)?.();
    });
  }

  of(service: string): number {
    return this.#counts.get(service) ?? 0;
  }

  /** True once each has had its first answer. */
  get settled(): boolean {
    return this.#first === this.#total;
  }

  /**
   * Does something and resolves, once all who follow the service were told, with when each was; milliseconds after it.
   */
  async wake(service: string, act: () => void): Promise<readonly number[]> {
    const expected = this.of(service);
    const started = performance.now();
    const woken: number[] = [];
    try {
      await new Promise<void>((resolve) => {
        this.#onWake.set(service, () => {
          woken.push(performance.now() - started);
          if (woken.length === expected) resolve();
        });
        act();
        if (expected === 0) resolve();
      });
    } finally {
      this.#onWake.delete(service);
    }
    return woken;
  }
}
