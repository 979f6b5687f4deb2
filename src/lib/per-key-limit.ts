/** One of the things that a {@link PerKeyLimit} counts. */
export interface Slot {
  /** From here on it is never given up for another one: it has proved its worth. */
  keep(): void;
  /** Gives it back; a second time does nothing. */
  release(): void;
}

export interface PerKeyLimitOptions {
  /** For one key; 0 is without limit. */
  readonly perKey: number;
  /** For all keys together; default without limit. */
  readonly total?: number;
}

interface Held extends Slot {
  readonly key: string;
  giveUp: (() => void) | undefined;
}

/**
 * Bounds what others make this process hold: so many for each key (an address, an identity), and so many in all. What
 * is admitted with a `giveUp` is on trial until it is kept: above the bound of its key, that key's oldest on trial is
 * given up for the newest; above the total, the oldest on trial of the key that holds most. So whoever floods ends its
 * own, and what proves itself quickly gets through, from the flooder's own address too. Without anything on trial to
 * give up there, the newest is refused.
 */
export class PerKeyLimit {
  readonly #perKey: number;
  readonly #total: number;
  /** Of each key, oldest first. */
  readonly #slots = new Map<string, Set<Held>>();
  #held = 0;

  constructor({ perKey, total = Number.POSITIVE_INFINITY }: PerKeyLimitOptions) {
    this.#perKey = perKey === 0 ? Number.POSITIVE_INFINITY : perKey;
    this.#total = total;
  }

  /** How much all keys hold together. */
  get held(): number {
    return this.#held;
  }

  /**
   * @param key whose it is; undefined (a Unix socket) counts towards the total only
   * @param giveUp ends it, when its place is needed before it was kept; absent: it is kept from the start
   * @returns undefined when there is no room
   */
  admit(key: string | undefined, giveUp?: () => void): Slot | undefined {
    const group = key ?? '';
    const own = this.#slots.get(group);
    if (key !== undefined && own !== undefined && own.size >= this.#perKey && !giveUpOldest(own)) return undefined;
    if (this.#held >= this.#total && !this.#giveUpOfHeaviest()) return undefined;
    const slots = this.#slots.get(group) ?? new Set();
    this.#slots.set(group, slots);
    const slot: Held = {
      key: group,
      giveUp,
      keep() {
        this.giveUp = undefined;
      },
      release: () => this.#release(slot),
    };
    slots.add(slot);
    this.#held += 1;
    return slot;
  }

  #release(slot: Held): void {
    const slots = this.#slots.get(slot.key);
    if (slots === undefined || !slots.delete(slot)) return;
    if (slots.size === 0) this.#slots.delete(slot.key);
    this.#held -= 1;
  }

  /** Looks at all keys: only while the total is reached. */
  #giveUpOfHeaviest(): boolean {
    let heaviest: Set<Held> | undefined;
    for (const slots of this.#slots.values())
      if (slots.size > (heaviest?.size ?? 0) && oldestOnTrial(slots) !== undefined) heaviest = slots;
    return heaviest !== undefined && giveUpOldest(heaviest);
  }
}

function oldestOnTrial(slots: Set<Held>): Held | undefined {
  for (const slot of slots) if (slot.giveUp !== undefined) return slot;
  return undefined;
}

function giveUpOldest(slots: Set<Held>): boolean {
  const slot = oldestOnTrial(slots);
  if (slot === undefined) return false;
  const end = slot.giveUp;
  slot.giveUp = undefined;
  slot.release();
  end?.();
  return true;
}
