import type { Labels } from './types.ts';

/** What is known of the values given under one set of labels. */
export interface Aggregate {
  readonly labels: Labels;
  readonly count: number;
  readonly sum: number;
  readonly min: number;
  readonly max: number;
  readonly mean: number;
  readonly stddev: number;
}

interface Running {
  readonly labels: Labels;
  count: number;
  sum: number;
  min: number;
  max: number;
  mean: number;
  /** Sum of squared distances from the mean, kept as Welford does so that large values lose no digits. */
  squares: number;
}

/** Count, sum, extremes, mean and deviation of a metric, for each set of labels; constant memory for each. */
export class Aggregates {
  readonly #names: readonly string[];
  readonly #sets = new Map<string, Running>();

  constructor(labelNames: readonly string[]) {
    this.#names = labelNames;
  }

  add(value: number, labels: Labels = {}): void {
    const key = this.#key(labels);
    let set = this.#sets.get(key);
    if (set === undefined) {
      set = { labels: { ...labels }, count: 0, sum: 0, min: value, max: value, mean: 0, squares: 0 };
      this.#sets.set(key, set);
    }
    set.count += 1;
    set.sum += value;
    if (value < set.min) set.min = value;
    if (value > set.max) set.max = value;
    const distance = value - set.mean;
    set.mean += distance / set.count;
    set.squares += distance * (value - set.mean);
  }

  list(): Aggregate[] {
    return [...this.#sets.values()].map(({ squares, ...set }) => ({
      ...set,
      stddev: set.count > 1 ? Math.sqrt(squares / (set.count - 1)) : 0,
    }));
  }

  #key(labels: Labels): string {
    if (this.#names.length === 1) return labels[this.#names[0] as string] ?? '';
    let key = '';
    for (const name of this.#names) key += `${labels[name] ?? ''}\u0000`;
    return key;
  }
}
