import type { SidecarEndpoint } from '../../model/sidecar.ts';
import { Instance, type InstanceDeps } from './instance.ts';

interface Held {
  readonly instance: Instance;
  readonly key: string;
  users: number;
}

/** All instances that some upstream names; upstreams that name the same one share its tunnels. */
export class Instances {
  readonly #deps: InstanceDeps;
  readonly #held = new Map<string, Held>();
  readonly #byInstance = new WeakMap<Instance, Held>();
  /** Released ones whose tunnels still drain. */
  readonly #leaving = new Set<Instance>();

  constructor(deps: InstanceDeps) {
    this.#deps = deps;
  }

  /** Each call needs one {@link release}. @param protocols ALPN names, for connections without a tunnel */
  hold(endpoint: SidecarEndpoint, protocols: readonly string[]): Instance {
    const key = keyOf(endpoint, protocols);
    let held = this.#held.get(key);
    if (held === undefined) {
      held = { instance: new Instance(endpoint, this.#deps, protocols), key, users: 0 };
      this.#held.set(key, held);
      this.#byInstance.set(held.instance, held);
    }
    held.users += 1;
    return held.instance;
  }

  release(instance: Instance): void {
    const held = this.#byInstance.get(instance);
    if (held === undefined || this.#held.get(held.key) !== held) return;
    held.users -= 1;
    if (held.users > 0) return;
    this.#held.delete(held.key);
    this.#leaving.add(instance);
    instance.release();
    this.#forgetGone();
  }

  /** The own leaf or the roots changed. */
  refresh(): void {
    this.#forgetGone();
    for (const instance of this.#all()) instance.refresh();
  }

  get tunnels(): number {
    let count = 0;
    for (const instance of this.#all()) count += instance.tunnels;
    return count;
  }

  /** Instances that connections don't go to, because they failed. */
  leftOut(now: number): number {
    let count = 0;
    for (const { instance } of this.#held.values()) if (instance.ejectedUntil > now) count += 1;
    return count;
  }

  abort(): void {
    for (const instance of this.#all()) instance.abort();
  }

  *#all(): Generator<Instance> {
    for (const { instance } of this.#held.values()) yield instance;
    yield* this.#leaving;
  }

  #forgetGone(): void {
    for (const instance of this.#leaving) if (instance.tunnels === 0) this.#leaving.delete(instance);
  }
}

function keyOf(endpoint: SidecarEndpoint, protocols: readonly string[]): string {
  return `${endpoint.datacenter}/${endpoint.service}/${endpoint.address}:${endpoint.port} ${protocols.join()}`;
}
