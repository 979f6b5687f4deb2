import type { Clock } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import type { TaskGroup } from '../../lib/task.ts';
import { Trigger } from '../../lib/trigger.ts';
import type { Store } from '../../store/store.ts';
import type { Inventory } from './inventory.ts';
import type { Signer } from './sign.ts';
import { allRoots, type CaTables } from './tables.ts';

export interface RotatorDeps {
  readonly clock: Clock;
  /** Writes as the datacenter's leader. */
  readonly store: Pick<Store, 'transact'>;
  readonly tables: CaTables;
  readonly inventory: Inventory;
  readonly signer: Signer;
  /** Absent in secondaries: there is nothing to rotate, only to tidy up. */
  readonly manager?: { advance(): Promise<number | undefined>; pullBack(): Promise<void> };
}

const TIDY_EVERY_MS = 6 * 3_600_000;

/**
 * Only the loop, on the server that leads: looks whenever something changed, or when the clock alone asks for the next
 * step.
 */
export class Rotator {
  readonly #deps: RotatorDeps;
  readonly #trigger = new Trigger();
  #lastError = '';
  /** Also at the start: it may have been set while nothing ran. */
  #clockWasSet = true;

  constructor(deps: RotatorDeps) {
    this.#deps = deps;
  }

  /** Why the last step failed; '' when it did not. */
  get lastError(): string {
    return this.#lastError;
  }

  start(tasks: TaskGroup): void {
    const { clock, manager } = this.#deps;
    tasks.loop('ca tidy', { pauseMs: TIDY_EVERY_MS }, () => this.#tidy());
    if (manager === undefined) return;
    tasks.loop('ca rotation', { backoff: { baseMs: 250, maxMs: 30_000 } }, async (signal, progress) => {
      for (;;) {
        try {
          if (this.#clockWasSet) await manager.pullBack();
          this.#clockWasSet = false;
          const again = await manager.advance();
          this.#lastError = '';
          progress();
          await this.#trigger.wait(clock, again === undefined ? undefined : again - clock.now(), signal);
        } catch (error) {
          if (!signal.aborted) this.#lastError = IsthmusError.from(error).message;
          throw error;
        }
      }
    });
  }

  planAnew(): void {
    this.#clockWasSet = true;
    this.#trigger.fire();
  }

  changed(): void {
    this.#trigger.fire();
  }

  /** Forgets holders that are long gone and, in secondaries, roots that have expired. */
  async #tidy(): Promise<void> {
    const { store, tables, inventory, clock, signer } = this.#deps;
    signer.refresh(clock.now());
    const longest = Math.max(0, ...allRoots(tables).map((root) => root.leafTtlMs));
    const gone = inventory.gone(longest);
    if (gone.length === 0) return;
    await store.transact((tx) => {
      for (const key of gone) if (tx.get(tables.holders, key) !== undefined) tx.delete(tables.holders, key);
    });
  }
}
