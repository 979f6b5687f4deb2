import { createHash } from 'node:crypto';
import type { Balancer as Policy } from '../../model/layer7/route-table.ts';

/** What a policy chooses among. */
export interface Choice {
  /** The same for the same instance in every sidecar. */
  readonly name: string;
  readonly instance: { readonly load: number };
  readonly weight: number;
}

/** One policy of balancing, for the instances of one target. */
export interface Chooser<C extends Choice> {
  /** Those that there are, whether they can be used now or not. */
  set(all: readonly C[]): void;
  /** @param usable never empty @param hash of the request, when it has one */
  choose(usable: readonly C[], hash: number | undefined): C;
}

/** Undefined: the default policy, which the caller has itself. */
export function createChooser<C extends Choice>(policy: Policy, random: () => number): Chooser<C> {
  switch (policy.policy) {
    case 'round_robin':
      return new RoundRobin();
    case 'random':
      return new Random(random);
    case 'least_request':
      return new LeastRequest(random, policy.choices);
    case 'ring_hash':
      return new Hashed(random, (all) => ring(all, policy.minimumSize ?? 1_024, policy.maximumSize ?? MAX_RING));
    case 'maglev':
      return new Hashed(random, maglev);
  }
}

/** Each in its turn, as often as its weight says, spread evenly. */
class RoundRobin<C extends Choice> implements Chooser<C> {
  readonly #credit = new WeakMap<object, number>();

  set(): void {}

  choose(usable: readonly C[]): C {
    let best = usable[0] as C;
    let most = Number.NEGATIVE_INFINITY;
    let total = 0;
    for (const candidate of usable) {
      const credit = (this.#credit.get(candidate.instance) ?? 0) + candidate.weight;
      this.#credit.set(candidate.instance, credit);
      total += candidate.weight;
      if (credit <= most) continue;
      best = candidate;
      most = credit;
    }
    this.#credit.set(best.instance, most - total);
    return best;
  }
}

class Random<C extends Choice> implements Chooser<C> {
  readonly #random: () => number;

  constructor(random: () => number) {
    this.#random = random;
  }

  set(): void {}

  choose(usable: readonly C[]): C {
    let left = this.#random() * usable.reduce((sum, { weight }) => sum + weight, 0);
    for (const candidate of usable) {
      left -= candidate.weight;
      if (left < 0) return candidate;
    }
    return usable.at(-1) as C;
  }
}

/** The least loaded for its weight, of a few that are taken by chance. */
class LeastRequest<C extends Choice> implements Chooser<C> {
  readonly #any: Random<C>;
  readonly #choices: number;

  constructor(random: () => number, choices: number) {
    this.#any = new Random(random);
    this.#choices = choices;
  }

  set(): void {}

  choose(usable: readonly C[]): C {
    let best = this.#any.choose(usable);
    for (let n = 1; n < this.#choices; n += 1) {
      const other = this.#any.choose(usable);
      if ((other.instance.load + 1) / other.weight < (best.instance.load + 1) / best.weight) best = other;
    }
    return best;
  }
}

/** A table of places, sorted by the hash where each begins. */
type Places<C> = readonly { readonly from: number; readonly candidate: C }[];

/** The same hash leads to the same instance as long as it can be used; without a hash it is by chance. */
class Hashed<C extends Choice> implements Chooser<C> {
  readonly #random: () => number;
  readonly #build: (all: readonly C[]) => Places<C>;
  #places: Places<C> = [];

  constructor(random: () => number, build: (all: readonly C[]) => Places<C>) {
    this.#random = random;
    this.#build = build;
  }

  set(all: readonly C[]): void {
    this.#places = this.#build(all);
  }

  choose(usable: readonly C[], hash = Math.floor(this.#random() * 2 ** 32)): C {
    const places = this.#places;
    let low = 0;
    let high = places.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((places[middle] as Places<C>[number]).from < hash) low = middle + 1;
      else high = middle;
    }
    const free = new Set(usable);
    for (let n = 0; n < places.length; n += 1) {
      const { candidate } = places[(low + n) % places.length] as Places<C>[number];
      if (free.has(candidate)) return candidate;
    }
    return usable[0] as C;
  }
}

const MAX_RING = 8_388_608;
/** More points than this would cost memory and bring nothing. */
const RING_BOUND = 65_536;

function ring<C extends Choice>(all: readonly C[], minimum: number, maximum: number): Places<C> {
  const total = all.reduce((sum, { weight }) => sum + weight, 0);
  const size = Math.min(Math.max(minimum, all.length), maximum, RING_BOUND);
  return all
    .flatMap((candidate) => {
      const points = Math.max(1, Math.round((size * candidate.weight) / total));
      return Array.from({ length: points }, (_, n) => ({ from: hashOf(`${candidate.name}_${n}`), candidate }));
    })
    .sort((a, b) => a.from - b.from);
}

/** Prime, as Envoy's. */
const MAGLEV_SIZE = 65_537;

/** "Maglev", Eisenbud and others, 2016, 3.4: each place is claimed in turn by the permutation of each instance. */
function maglev<C extends Choice>(all: readonly C[]): Places<C> {
  const table = new Array<C | undefined>(MAGLEV_SIZE);
  const heaviest = Math.max(...all.map(({ weight }) => weight));
  const turns = all.map((candidate) => ({
    candidate,
    at: hashOf(`${candidate.name} offset`) % MAGLEV_SIZE,
    skip: (hashOf(`${candidate.name} skip`) % (MAGLEV_SIZE - 1)) + 1,
    due: 0,
  }));
  for (let filled = 0; filled < MAGLEV_SIZE && turns.length > 0; ) {
    for (const turn of turns) {
      turn.due += turn.candidate.weight / heaviest;
      if (turn.due < 1) continue;
      turn.due -= 1;
      while (table[turn.at] !== undefined) turn.at = (turn.at + turn.skip) % MAGLEV_SIZE;
      table[turn.at] = turn.candidate;
      filled += 1;
      if (filled === MAGLEV_SIZE) break;
    }
  }
  const width = 2 ** 32 / MAGLEV_SIZE;
  return table.flatMap((candidate, n) =>
    candidate === undefined ? [] : [{ from: Math.floor((n + 1) * width) - 1, candidate }],
  );
}

/** 32 bits. */
export function hashOf(text: string): number {
  return createHash('sha256').update(text).digest().readUInt32BE();
}
