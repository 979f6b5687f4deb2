import type { Clock, Timer } from '../../lib/clock.ts';
import type { Verifier, VerifierSource } from '../cache/holder-reporter.ts';

/** A connected sidecar, as the registry of verifiers sees it. */
export interface VerifierHandle {
  /** Roots that the sidecar has acknowledged. */
  holds(rootIds: readonly string[]): void;
  /** The sidecar has gone. */
  leave(): void;
}

interface Entry {
  readonly name: string;
  rootIds: readonly string[] | undefined;
  timer: Timer | undefined;
}

/**
 * A sidecar that lost its stream is likely to be alive and to come back: for this long it still counts, so that a
 * rotation doesn't go on without it. Milliseconds.
 */
const LINGER_MS = 10_000;

/** The sidecars that follow this agent, with the roots that they have confirmed. */
export class Verifiers implements VerifierSource {
  readonly #clock: Clock;
  readonly #isAlive: (name: string) => boolean;
  readonly #entries = new Set<Entry>();
  readonly #listeners = new Set<() => void>();

  /** @param isAlive whether a proxy that follows no longer still takes connections, as far as is known. */
  constructor(clock: Clock, isAlive: (name: string) => boolean = () => false) {
    this.#clock = clock;
    this.#isAlive = isAlive;
  }

  verifiers(): readonly Verifier[] {
    return [...this.#entries].map(({ name, rootIds }) => ({ name, rootIds }));
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  join(name: string): VerifierHandle {
    for (const other of this.#entries) {
      if (other.name !== name || other.timer === undefined) continue;
      other.timer.cancel(); // it came back
      this.#entries.delete(other);
    }
    const entry: Entry = { name, rootIds: undefined, timer: undefined };
    this.#entries.add(entry);
    this.#changed();
    return {
      holds: (rootIds) => {
        entry.rootIds = rootIds;
        this.#changed();
      },
      leave: () => {
        if (entry.timer !== undefined || !this.#entries.has(entry)) return;
        if (entry.rootIds === undefined)
          this.#remove(entry); // it never began to verify
        else this.#linger(entry);
      },
    };
  }

  close(): void {
    for (const entry of this.#entries) entry.timer?.cancel();
    this.#entries.clear();
  }

  /** One that is away verifies with what it has; it counts until it is known to have ended. */
  #linger(entry: Entry): void {
    entry.timer = this.#clock.after(LINGER_MS, () => {
      if (this.#isAlive(entry.name)) this.#linger(entry);
      else this.#remove(entry);
    });
  }

  #remove(entry: Entry): void {
    if (this.#entries.delete(entry)) this.#changed();
  }

  #changed(): void {
    for (const listener of this.#listeners) listener();
  }
}
