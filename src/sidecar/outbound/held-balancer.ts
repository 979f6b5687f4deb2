import type { Clock } from '../../lib/clock.ts';
import type { SidecarEndpoint } from '../../model/sidecar.ts';
import { Balancer, type Candidate } from './balancer.ts';
import type { Chooser } from './chooser.ts';
import type { Instance } from './instance.ts';
import type { Instances } from './instances.ts';

export interface HeldBalancerDeps {
  readonly clock: Clock;
  readonly instances: Instances;
  /** Chance in [0, 1). */
  readonly random: () => number;
}

/** A balancer that holds its instances: they are released once it names them no more. */
export class HeldBalancer {
  readonly #deps: HeldBalancerDeps;
  readonly #balancer: Balancer<Instance>;
  readonly #protocols: readonly string[];

  /** @param protocols ALPN names, for connections without a tunnel */
  constructor(deps: HeldBalancerDeps, protocols: readonly string[], chooser?: () => Chooser<Candidate<Instance>>) {
    this.#deps = deps;
    this.#protocols = protocols;
    this.#balancer = new Balancer(deps.random, chooser);
  }

  set(endpoints: readonly SidecarEndpoint[]): void {
    const { clock, instances } = this.#deps;
    const before = this.#balancer.instances();
    const held: Instance[] = [];
    this.#balancer.set(endpoints, clock.steady(), (endpoint) => {
      const instance = instances.hold(endpoint, this.#protocols);
      held.push(instance);
      return instance;
    });
    const now = this.#balancer.instances();
    // Each instance is held once, however many endpoints name it.
    const kept = new Set<Instance>(before);
    for (const instance of held) {
      if (kept.has(instance)) instances.release(instance);
      else kept.add(instance);
    }
    for (const instance of before) if (!now.has(instance)) instances.release(instance);
  }

  instances(): ReadonlySet<Instance> {
    return this.#balancer.instances();
  }

  pick(tried: ReadonlySet<Instance>, hash?: number): Candidate<Instance> | undefined {
    return this.#balancer.pick(this.#deps.clock.steady(), tried, hash);
  }

  maxTries(ofOne: number): number {
    return this.#balancer.maxTries(ofOne);
  }
}
