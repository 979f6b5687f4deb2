import type { SidecarEndpoint } from '../model/sidecar.ts';
import type { Instance } from './instance.ts';

interface Candidate {
  readonly instance: Instance;
  readonly weight: number;
}

/**
 * Picks the instance with the least load for its weight, in turn among equals. One that failed is left out for a
 * while, unless all did: then the one whose time is up first.
 */
export class Balancer {
  #candidates: readonly Candidate[] = [];
  #turn = 0;

  get size(): number {
    return this.#candidates.length;
  }

  instances(): readonly Instance[] {
    return this.#candidates.map((candidate) => candidate.instance);
  }

  set(endpoints: readonly SidecarEndpoint[], instanceOf: (endpoint: SidecarEndpoint) => Instance): void {
    const byInstance = new Map<Instance, number>();
    for (const endpoint of endpoints) {
      const instance = instanceOf(endpoint);
      byInstance.set(instance, (byInstance.get(instance) ?? 0) + Math.max(endpoint.weight, 1));
    }
    this.#candidates = [...byInstance].map(([instance, weight]) => ({ instance, weight }));
  }

  pick(now: number, tried: ReadonlySet<Instance>): Instance | undefined {
    const candidates = this.#candidates;
    const count = candidates.length;
    let best: Instance | undefined;
    let bestScore = Number.POSITIVE_INFINITY;
    let spare: Instance | undefined;
    this.#turn = count === 0 ? 0 : (this.#turn + 1) % count;
    for (let n = 0; n < count; n += 1) {
      const { instance, weight } = candidates[(this.#turn + n) % count] as Candidate;
      if (tried.has(instance)) continue;
      if (instance.ejectedUntil > now) {
        if (spare === undefined || instance.ejectedUntil < spare.ejectedUntil) spare = instance;
        continue;
      }
      const score = (instance.load + 1) / weight;
      if (score < bestScore) {
        best = instance;
        bestScore = score;
      }
    }
    return best ?? spare;
  }
}
