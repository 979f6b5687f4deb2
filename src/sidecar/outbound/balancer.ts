import type { SidecarEndpoint } from '../../model/sidecar.ts';
import type { Chooser } from './chooser.ts';

/** What is picked: an instance of a service, as far as the choice depends on it. */
export interface Balanced {
  /** Connections open or being opened. */
  readonly load: number;
  /** Left out until then. Here and below, times are those of the steady clock. */
  readonly ejectedUntil: number;
  /** When it was last taken back; before all times when it was never left out. */
  readonly recoveredAt: number;
  /** Tries soon whether it can be reached again, if it could not. */
  recheck(): void;
}

/** One instance as a target lists it. */
export interface Candidate<I extends Balanced> {
  readonly instance: I;
  /** Address and port. */
  readonly name: string;
  readonly weight: number;
  /** As the service's resolver says. */
  readonly connectTimeoutMs: number | undefined;
  /** Picks of late, in the target's unit. */
  turns: number;
  /** It was left out when it was last looked at. */
  out: boolean;
}

/** Going back to a target that has recovered takes this long, in so many steps: it may not be warm yet. */
const RAMP_MS = 10_000;
const RAMP_STEPS = 10;
/** Instances of one target that one connection tries while another target could take it. */
const TRIES_PER_TARGET = 2;
/** So many picks of late are remembered: without open connections they decide whose turn it is. */
const MEMORY = 32;
/** Who is behind by less than a turn is picked: half of one more or less on average. */
const HALF_A_TURN = 0.5;
/** Above this, turns are scaled down. */
const MAX_UNIT = 1e9;

/**
 * Picks the instance of the first target that has one: the one with the least load for its weight, counting its picks
 * of late. One that failed is left out for a while, unless all did: then the one whose time is up first. A target that
 * comes back takes its share step by step, while a later one is there to take the rest.
 */
export class Balancer<I extends Balanced> {
  readonly #random: () => number;
  readonly #chooser: (() => Chooser<Candidate<I>>) | undefined;
  #targets: readonly Target<I>[] = [];
  /** In datacenters that can't be reached: taken when there is nothing else. */
  #lastResort: readonly Target<I>[] = [];

  /**
   * @param random chance in [0, 1)
   * @param chooser for one target, instead of the least load; absent for connections
   */
  constructor(random: () => number, chooser?: () => Chooser<Candidate<I>>) {
    this.#random = random;
    this.#chooser = chooser;
  }

  instances(): ReadonlySet<I> {
    return new Set([...this.#candidates()].map(({ instance }) => instance));
  }

  /** Instances that one connection tries at most, when those of one target may be `ofOne`. */
  maxTries(ofOne: number): number {
    return ofOne + TRIES_PER_TARGET * Math.max(0, this.#targets.length - 1);
  }

  set(endpoints: readonly SidecarEndpoint[], now: number, instanceOf: (endpoint: SidecarEndpoint) => I): void {
    const known = (endpoint: SidecarEndpoint): boolean => endpoint.lastResort !== true;
    const always = Number.NEGATIVE_INFINITY;
    const since = this.#targets.length === 0 ? always : now;
    this.#targets = this.#grouped(this.#targets, endpoints.filter(known), { now, since }, instanceOf);
    const others = endpoints.filter((endpoint) => !known(endpoint));
    this.#lastResort = this.#grouped(this.#lastResort, others, { now, since: always }, instanceOf);
  }

  /** @param hash of a request, for a policy that goes by it */
  pick(now: number, tried: ReadonlySet<I>, hash?: number): Candidate<I> | undefined {
    return (
      this.#pickOf(this.#targets, now, tried, hash) ??
      this.#pickOf(this.#lastResort, now, tried, hash) ??
      this.#spare(tried)
    );
  }

  #grouped(
    before: readonly Target<I>[],
    endpoints: readonly SidecarEndpoint[],
    { now, since }: { readonly now: number; readonly since: number },
    instanceOf: (endpoint: SidecarEndpoint) => I,
  ): readonly Target<I>[] {
    const byId = new Map<string, SidecarEndpoint[]>();
    for (const endpoint of endpoints) {
      const of = byId.get(endpoint.target ?? '');
      if (of === undefined) byId.set(endpoint.target ?? '', [endpoint]);
      else of.push(endpoint);
    }
    return [...byId].map(([id, of]) => {
      const known = before.find((target) => target.id === id);
      const target = known ?? new Target<I>(id, since, this.#chooser?.());
      target.set(of, now, this.#random, instanceOf);
      // What was left out while it was not listed is looked at again, not when its time is up.
      if (known === undefined) for (const { instance } of target.candidates) instance.recheck();
      return target;
    });
  }

  #pickOf(
    targets: readonly Target<I>[],
    now: number,
    tried: ReadonlySet<I>,
    hash: number | undefined,
  ): Candidate<I> | undefined {
    let held: { readonly target: Target<I>; readonly candidate: Candidate<I> } | undefined;
    for (const [n, target] of targets.entries()) {
      const candidate = target.best(now, tried, hash);
      if (candidate === undefined) continue;
      if (n === targets.length - 1 || this.#takes(target, now, tried)) return target.take(candidate);
      held ??= { target, candidate }; // if no later one takes it
    }
    return held?.target.take(held.candidate);
  }

  #takes(target: Target<I>, now: number, tried: ReadonlySet<I>): boolean {
    if (target.tries(tried) >= TRIES_PER_TARGET) return false;
    const share = target.share(now);
    return share >= 1 || this.#random() < share;
  }

  #spare(tried: ReadonlySet<I>): Candidate<I> | undefined {
    let spare: Candidate<I> | undefined;
    for (const candidate of this.#candidates()) {
      if (tried.has(candidate.instance)) continue;
      if (spare === undefined || candidate.instance.ejectedUntil < spare.instance.ejectedUntil) spare = candidate;
    }
    return spare;
  }

  *#candidates(): Generator<Candidate<I>> {
    for (const { candidates } of this.#targets) yield* candidates;
    for (const { candidates } of this.#lastResort) yield* candidates;
  }
}

/** Instances that are as good as each other. */
class Target<I extends Balanced> {
  readonly id: string;
  candidates: readonly Candidate<I>[] = [];
  /** Since when it takes connections. */
  since: number;
  #down = false;
  /** What one pick counts; it grows, so that older ones count less and less. */
  #unit = 1;
  readonly #chooser: Chooser<Candidate<I>> | undefined;

  constructor(id: string, since: number, chooser: Chooser<Candidate<I>> | undefined) {
    this.id = id;
    this.since = since;
    this.#chooser = chooser;
  }

  set(
    endpoints: readonly SidecarEndpoint[],
    now: number,
    random: () => number,
    instanceOf: (endpoint: SidecarEndpoint) => I,
  ): void {
    const wasDown = this.candidates.length > 0 && !this.#isUp(now);
    const before = new Map(this.candidates.map((candidate) => [candidate.instance, candidate]));
    // A new one is neither first in line nor last; chance keeps many sidecars from all taking the same one first.
    const fair = this.#fair();
    const listed = new Map<I, Candidate<I>>();
    for (const endpoint of endpoints) {
      const instance = instanceOf(endpoint);
      const weight = Math.max(endpoint.weight, 1) + (listed.get(instance)?.weight ?? 0);
      const turns = before.get(instance)?.turns ?? fair * weight + random() * this.#unit;
      const { address, port, connectTimeoutMs } = endpoint;
      const name = `${address}:${port}`;
      listed.set(instance, { instance, name, weight, connectTimeoutMs, turns, out: false });
    }
    this.candidates = [...listed.values()];
    this.#chooser?.set(this.candidates);
    if (wasDown && this.#isUp(now)) this.since = now;
  }

  #isUp(now: number): boolean {
    return this.candidates.some(({ instance }) => instance.ejectedUntil <= now);
  }

  /** The best one that has not failed of late. */
  best(now: number, tried: ReadonlySet<I>, hash: number | undefined): Candidate<I> | undefined {
    const usable: Candidate<I>[] | undefined = this.#chooser === undefined ? undefined : [];
    let best: Candidate<I> | undefined;
    let bestScore = Number.POSITIVE_INFINITY;
    let up = false;
    for (const candidate of this.candidates) {
      const { instance, weight } = candidate;
      if (instance.ejectedUntil > now) {
        candidate.out = true;
        continue;
      }
      up = true;
      if (candidate.out) this.#takeBack(candidate);
      if (tried.has(instance)) continue;
      if (usable !== undefined) {
        usable.push(candidate);
        continue;
      }
      const score = (instance.load + candidate.turns / this.#unit + HALF_A_TURN) / weight;
      if (score >= bestScore) continue;
      best = candidate;
      bestScore = score;
    }
    if (up && this.#down) this.since = Math.max(this.since, this.#recoveredAt(now));
    this.#down = !up;
    return usable === undefined || usable.length === 0 ? best : this.#chooser?.choose(usable, hash);
  }

  take(candidate: Candidate<I>): Candidate<I> {
    candidate.turns += this.#unit;
    this.#unit *= MEMORY / (MEMORY - 1);
    if (this.#unit > MAX_UNIT) {
      for (const each of this.candidates) each.turns /= this.#unit;
      this.#unit = 1;
    }
    return candidate;
  }

  /** The part of new connections that it takes, in (0, 1]. */
  share(now: number): number {
    return Math.min(1, (Math.floor(((now - this.since) * RAMP_STEPS) / RAMP_MS) + 1) / RAMP_STEPS);
  }

  /** Its instances among those that one connection has tried. */
  tries(tried: ReadonlySet<I>): number {
    if (tried.size === 0) return 0;
    let count = 0;
    for (const { instance } of this.candidates) if (tried.has(instance)) count += 1;
    return count;
  }

  /** It has not saved up turns while it was left out. */
  #takeBack(candidate: Candidate<I>): void {
    candidate.turns = Math.max(candidate.turns, this.#fair() * candidate.weight);
    candidate.out = false;
  }

  /** Turns for each unit of weight, of those that take turns. */
  #fair(): number {
    const taking = this.candidates.filter(({ out }) => !out);
    return taking.length === 0 ? 0 : taking.reduce((sum, { turns, weight }) => sum + turns / weight, 0) / taking.length;
  }

  #recoveredAt(now: number): number {
    const up = this.candidates.filter(({ instance }) => instance.ejectedUntil <= now);
    const first = Math.min(...up.map(({ instance }) => instance.recoveredAt));
    return up.length === 0 ? now : first;
  }
}
