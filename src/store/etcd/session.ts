import { hasCode } from '../../lib/errors.ts';
import { newUuid } from '../../lib/ids.ts';
import type { Layout } from './head.ts';
import type { EtcdLeases } from './leases.ts';
import type { Slot } from './step.ts';

/** Slots outlive a writer by this long, milliseconds. Far longer than a step can be under way. */
const TTL_MS = 600_000;
/** Between two renewals, milliseconds. */
export const KEEP_MS = 60_000;

/** What one writer holds in etcd: a lease, and a slot for each step that runs at the same time as others. */
export class WriterSession {
  readonly lease: string;
  readonly #id = newUuid();
  readonly #layout: Layout;
  readonly #leases: EtcdLeases;
  readonly #free: Slot[] = [];
  #slots = 0;
  #steps = 0;

  private constructor(lease: string, leases: EtcdLeases, layout: Layout) {
    this.lease = lease;
    this.#leases = leases;
    this.#layout = layout;
  }

  static async open(leases: EtcdLeases, layout: Layout): Promise<WriterSession> {
    return new WriterSession((await leases.grant(TTL_MS)).id, leases, layout);
  }

  take(): Slot {
    return this.#free.pop() ?? { key: this.#layout.slot(this.#id, ++this.#slots), lease: BigInt(this.lease), mod: 0 };
  }

  /** Gives back a slot whose last step has a known outcome. One in doubt is not used again. */
  give(slot: Slot): void {
    this.#free.push(slot);
  }

  nextId(): string {
    this.#steps += 1;
    return String(this.#steps);
  }

  /** False when the lease has ended and the slots with it. */
  async keep(): Promise<boolean> {
    try {
      await this.#leases.keep(this.lease);
      return true;
    } catch (error) {
      if (hasCode(error, 'not_found')) return false;
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.#leases.revoke(this.lease);
  }
}
