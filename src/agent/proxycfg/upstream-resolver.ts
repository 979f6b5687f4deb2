import type { Clock, Timer } from '../../lib/clock.ts';
import { compileRoutes } from '../../model/layer7/compile-routes.ts';
import type { SidecarEndpoint, SidecarRequests, SidecarUpstream } from '../../model/sidecar.ts';
import type { ResolveArgs, ResolvedTarget, ResolvedUpstream } from '../../model/upstream.ts';
import { questionKey } from '../../rpc/subscribe/question.ts';
import type { FollowOptions, WatchPool } from '../../rpc/subscribe/watch-pool.ts';
import { endpointsByTarget, endpointsOf } from './endpoints.ts';

/** Where an upstream leads now. `problem` says what can't be followed; the last known endpoints stay. */
export interface UpstreamState {
  /** Undefined: not known yet. A sidecar that was there before keeps what it has. */
  readonly endpoints: readonly SidecarEndpoint[] | undefined;
  /** What it leads to now, instances or not; empty while that is not known. */
  readonly targets: readonly UpstreamTarget[];
  readonly problem: string;
  /** Where its requests go, when its protocol has requests; the same object until that changes. */
  readonly requests?: SidecarRequests;
}

/** A service in one datacenter: an identity that certificates name. */
export interface UpstreamTarget {
  readonly service: string;
  readonly datacenter: string;
}

/** Names a target in `refused` of a snapshot. */
export function nameOf({ service, datacenter }: UpstreamTarget): string {
  return `${service} in ${datacenter}`;
}

export interface UpstreamResolverDeps {
  readonly pool: Pick<WatchPool, 'follow'>;
  readonly datacenter: string;
  readonly node: string;
  readonly clock: Clock;
}

/** Follows where upstreams lead, services and prepared queries alike. */
export interface UpstreamResolver {
  /**
   * Calls `onState` soon, even when nothing can be reached, and after every change; returns the function that ends it.
   */
  follow(
    upstream: SidecarUpstream,
    options: { readonly token?: string },
    onState: (state: UpstreamState) => void,
  ): () => void;
}

/** A sidecar waits this long for the first endpoints of an upstream before it starts without them, milliseconds. */
const FIRST_ANSWER_MS = 2_000;

export function createUpstreamResolver(deps: UpstreamResolverDeps): UpstreamResolver {
  const shared = new Map<string, FollowedUpstream>();
  return {
    follow(upstream, { token }, onState) {
      const { name, type, datacenter } = upstream;
      // The own datacenter knows the resolvers of all services; a query is known where it was written.
      const args: ResolveArgs =
        type === 'service' ? { type, name, datacenter } : { type, name, agent: { node: deps.node, segment: '' } };
      const options = {
        ...(type === 'service' || datacenter === deps.datacenter ? {} : { datacenter }),
        ...(token === undefined ? {} : { token }),
      };
      const key = questionKey({ name: 'upstreams.resolve', args, ...options });
      let followed = shared.get(key);
      if (followed === undefined) {
        followed = new FollowedUpstream(deps, args, options);
        shared.set(key, followed);
      }
      const own = followed;
      const leave = own.join(onState);
      return () => {
        leave();
        if (own.unused && shared.get(key) === own) {
          shared.delete(key);
          own.close();
        }
      };
    },
  };
}

/** Where one upstream leads, worked out once for all proxies that dial it: they share each state of it. */
class FollowedUpstream {
  readonly #deps: UpstreamResolverDeps;
  readonly #name: string;
  readonly #listeners = new Set<(state: UpstreamState) => void>();
  readonly #end: () => void;
  readonly #patience: Timer | undefined;
  #state: UpstreamState | undefined;
  /** As it was answered last, and with what was known before. */
  #answer: ResolvedUpstream | undefined;
  #last: ResolvedUpstream | undefined;

  constructor(deps: UpstreamResolverDeps, args: ResolveArgs, options: FollowOptions) {
    this.#deps = deps;
    this.#name = args.name;
    this.#end = deps.pool.follow('upstreams.resolve', args, options, ({ value, problem }) =>
      this.#onAnswer(value, problem),
    );
    if (this.#state === undefined) this.#patience = deps.clock.after(FIRST_ANSWER_MS, () => this.#onSilence());
  }

  get unused(): boolean {
    return this.#listeners.size === 0;
  }

  /** @returns the function that leaves. */
  join(onState: (state: UpstreamState) => void): () => void {
    const listener = (state: UpstreamState): void => onState(state); // the same function may join twice
    this.#listeners.add(listener);
    if (this.#state !== undefined) listener(this.#state);
    return () => this.#listeners.delete(listener);
  }

  close(): void {
    this.#patience?.cancel();
    this.#end();
  }

  #onAnswer(value: ResolvedUpstream | undefined, problem: string | undefined): void {
    this.#patience?.cancel();
    const { datacenter } = this.#deps;
    const before = this.#state;
    let { endpoints, requests } = before ?? {};
    if (value !== undefined && value !== this.#answer) {
      this.#last = withKnown(value, this.#last);
      this.#answer = value;
      const made = endpointsOf(this.#last, datacenter);
      if (made.length > 0 || this.#last.targets.every((target) => target.known))
        endpoints = same(endpoints, made) ? endpoints : made;
      requests = requestsOf(this.#last, datacenter, requests);
    }
    const last = this.#last;
    const leadsTo = [...(endpoints ?? []), ...Object.values(requests?.endpoints ?? {}).flat()];
    const targets = kept(before?.targets ?? [], targetsOf(last, leadsTo));
    const state = { endpoints, targets, problem: problem ?? unreached(last) };
    this.#set(requests === undefined ? state : { ...state, requests });
  }

  #onSilence(): void {
    if (this.#state !== undefined) return;
    this.#set({ endpoints: undefined, targets: [], problem: `it is not known yet where ${this.#name} leads` });
  }

  #set(state: UpstreamState): void {
    if (this.#state !== undefined && isSame(this.#state, state)) return;
    this.#state = state;
    for (const listener of [...this.#listeners]) listener(state);
  }
}

/** Parts that did not change are the same objects. */
function isSame(a: UpstreamState, b: UpstreamState): boolean {
  return a.endpoints === b.endpoints && a.targets === b.targets && a.problem === b.problem && a.requests === b.requests;
}

/**
 * A server that has just started has never heard of a datacenter that is away: what was known of it here still holds.
 */
function withKnown(upstream: ResolvedUpstream, before: ResolvedUpstream | undefined): ResolvedUpstream {
  if (before === undefined || allTargets(upstream).every(({ known }) => known)) return upstream;
  const earlier = new Map(allTargets(before).map((target) => [target.id, target]));
  const filled = (target: ResolvedTarget): ResolvedTarget => {
    const same = earlier.get(target.id);
    if (target.known || same === undefined) return target;
    return { ...target, known: same.known, instances: same.instances };
  };
  const { requests } = upstream;
  return {
    ...upstream,
    targets: upstream.targets.map(filled),
    ...(requests === undefined ? {} : { requests: { ...requests, others: requests.others.map(filled) } }),
  };
}

function allTargets(upstream: ResolvedUpstream): readonly ResolvedTarget[] {
  return [...upstream.targets, ...(upstream.requests?.others ?? [])];
}

/** What did not change stays the same object: table, and the endpoints of a target. */
function requestsOf(
  upstream: ResolvedUpstream,
  ownDatacenter: string,
  before: SidecarRequests | undefined,
): SidecarRequests | undefined {
  if (upstream.requests === undefined) return undefined;
  const made = compileRoutes(upstream.requests.chain);
  const table = before !== undefined && same(before.table, made) ? before.table : made;
  const endpoints = mapped(endpointsByTarget(allTargets(upstream), ownDatacenter), (now, id) => {
    const last = before?.endpoints[id];
    return last !== undefined && same(last, now) ? last : now;
  });
  const unchanged =
    table === before?.table &&
    Object.keys(endpoints).length === Object.keys(before.endpoints).length &&
    Object.entries(endpoints).every(([id, list]) => list === before.endpoints[id]);
  return unchanged ? before : { table, endpoints };
}

function mapped<T>(record: Readonly<Record<string, T>>, map: (value: T, key: string) => T): Record<string, T> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, map(value, key)]));
}

function same(a: unknown, b: unknown): boolean {
  return a === b || JSON.stringify(a) === JSON.stringify(b);
}

/** The list of before when the new one says the same. */
function kept(before: readonly UpstreamTarget[], now: readonly UpstreamTarget[]): readonly UpstreamTarget[] {
  return before.map(nameOf).join() === now.map(nameOf).join() ? before : now;
}

/** Each identity once: those of the targets, then others that instances have (those of a native application). */
function targetsOf(
  upstream: ResolvedUpstream | undefined,
  endpoints: readonly SidecarEndpoint[] = [],
): readonly UpstreamTarget[] {
  const found = new Map<string, UpstreamTarget>();
  const targets = upstream === undefined ? [] : allTargets(upstream);
  for (const { service, datacenter } of [...targets, ...endpoints])
    found.set(`${service}/${datacenter}`, { service, datacenter });
  return [...found.values()];
}

function unreached(upstream: ResolvedUpstream | undefined): string {
  const targets = upstream === undefined ? [] : allTargets(upstream);
  const away = new Set(targets.filter(({ reached }) => !reached).map(({ datacenter }) => datacenter));
  return away.size === 0 ? '' : `no answer from datacenter ${[...away].join(', ')}`;
}
