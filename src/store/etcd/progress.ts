import { Backoff } from '../../lib/backoff.ts';
import type { Clock, Timer } from '../../lib/clock.ts';

/** How far a watch has come. */
export interface Position {
  revision: number;
}

/** A watch that stays behind for about this long is helped, milliseconds; commits on their way take less. */
const BEHIND = { baseMs: 75, maxMs: 1_000 };

/**
 * Sees to it that watches pass every revision that the engine has told: revisions of somebody else's writes into the
 * same etcd never come over a watch, and etcd's own notices of progress come every ten minutes. A write of ours that
 * changes no row then carries the watches on.
 */
export class Progress {
  readonly #clock: Clock;
  readonly #write: () => Promise<void>;
  readonly #positions = new Set<Position>();
  readonly #backoff = new Backoff(BEHIND);
  #told = 0;
  #timer: Timer | undefined;
  #writing = false;

  constructor(clock: Clock, write: () => Promise<void>) {
    this.#clock = clock;
    this.#write = write;
  }

  follow(revision: number): Position {
    const position = { revision };
    this.#positions.add(position);
    this.#look();
    return position;
  }

  end(position: Position): void {
    this.#positions.delete(position);
  }

  tell(revision: number): void {
    if (revision <= this.#told) return;
    this.#told = revision;
    this.#look();
  }

  close(): void {
    this.#positions.clear();
    this.#timer?.cancel();
  }

  #look(): void {
    if (this.#timer !== undefined || this.#writing || !this.#isBehind()) return;
    this.#timer = this.#clock.after(this.#backoff.next(), () => {
      this.#timer = undefined;
      if (!this.#isBehind()) {
        this.#backoff.reset();
        return;
      }
      this.#writing = true;
      void this.#write()
        .then(
          () => this.#backoff.reset(),
          () => undefined, // tried again while it is needed
        )
        .finally(() => {
          this.#writing = false;
          this.#look();
        });
    });
  }

  #isBehind(): boolean {
    for (const { revision } of this.#positions) if (revision < this.#told) return true;
    return false;
  }
}
