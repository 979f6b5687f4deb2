import type { ConfigEntry, ConfigEntryKind } from '../../model/config-entry.ts';
import type { ServiceTargets } from '../../model/discovery-chain.ts';
import type { EntryLookup } from './discovery-chain.ts';

/** Services kept compiled; the oldest goes first. */
const MAX_KEPT = 10_000;

interface Kept {
  readonly targets: ServiceTargets;
  readonly looked: readonly (readonly [kind: ConfigEntryKind, name: string, found: ConfigEntry | undefined])[];
  readonly trustDomain: string;
}

/**
 * What services lead to, compiled again only when an entry that it came from is another: the same object until then.
 */
export class KeptTargets {
  readonly #read: EntryLookup;
  readonly #kept = new Map<string, Kept>();

  constructor(read: EntryLookup) {
    this.#read = read;
  }

  get(
    key: string,
    trustDomain: string,
    compile: (lookup: EntryLookup) => ServiceTargets,
  ): { readonly targets: ServiceTargets; readonly looked: Kept['looked'] } {
    const known = this.#kept.get(key);
    if (
      known?.trustDomain === trustDomain &&
      known.looked.every(([kind, name, found]) => this.#read(kind, name) === found)
    )
      return known;
    const looked: [ConfigEntryKind, string, ConfigEntry | undefined][] = [];
    const targets = compile((kind, name) => {
      const found = this.#read(kind, name);
      looked.push([kind, name, found]);
      return found;
    });
    const made = { targets, looked, trustDomain };
    this.#kept.delete(key);
    this.#kept.set(key, made);
    if (this.#kept.size > MAX_KEPT) this.#kept.delete(this.#kept.keys().next().value as string);
    return made;
  }
}
