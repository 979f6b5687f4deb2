import type { Verdicts } from '../../../model/intention.ts';
import { foldName } from '../../../model/names.ts';
import { WILDCARD } from '../../../model/service-intentions.ts';
import type { WatchPool } from '../../../rpc/subscribe/watch-pool.ts';
import { nameOf, type UpstreamTarget } from '../upstream-resolver.ts';

/**
 * Who may call a service, one by one: its Envoy keeps the connections of each apart, so that those of one can be ended.
 */
export interface Callers {
  readonly named: readonly UpstreamTarget[];
  /** False: not every datacenter has answered since this agent started. */
  readonly complete: boolean;
}

/** Callers that are kept apart at the same time; those beyond it share what unknown callers have. */
const MAX_CALLERS = 512;
/** Proxies whose callers are remembered. */
const MAX_PROXIES = 4_096;

/**
 * Of the proxies of an agent. A caller that was listed stays listed: its service may have been deregistered while its
 * connections are open, and these go on.
 */
export class ListedCallers {
  readonly #listed = new Map<string, ReadonlyMap<string, UpstreamTarget>>();

  /** Those of before, and new ones while there is room. */
  add(proxyId: string, callers: Iterable<UpstreamTarget>): readonly UpstreamTarget[] {
    const listed = new Map(this.#listed.get(proxyId));
    for (const caller of callers) {
      if (listed.size >= MAX_CALLERS) break;
      listed.set(nameOf(caller), caller);
    }
    this.#listed.delete(proxyId);
    this.#listed.set(proxyId, listed);
    if (this.#listed.size > MAX_PROXIES) this.#listed.delete(this.#listed.keys().next().value as string);
    return [...listed.values()];
  }
}

export interface FollowCallersDeps {
  readonly pool: Pick<WatchPool, 'follow'>;
  readonly listed: ListedCallers;
  readonly proxyId: string;
  readonly datacenter: string;
  readonly token?: string;
  readonly changed: () => void;
}

/**
 * Follows which services there are in all datacenters, while an intention or the default lets in whom it doesn't name.
 */
export class FollowedCallers {
  readonly #deps: FollowCallersDeps;
  readonly #endDatacenters: () => void;
  #datacenters: readonly string[] | undefined;
  readonly #services = new Map<string, { names: readonly string[] | undefined; end: () => void }>();
  #everybody = false;
  #made: { readonly verdicts: Verdicts; readonly callers: Callers } | undefined;

  constructor(deps: FollowCallersDeps) {
    this.#deps = deps;
    this.#endDatacenters = deps.pool.follow('catalog.datacenters', {}, this.#options(), ({ value }) => {
      if (value === undefined || value.join() === this.#datacenters?.join()) return;
      // One that went may only be away: its services stay listed.
      this.#datacenters = [...new Set([...(this.#datacenters ?? []), ...value])].sort();
      this.#followServices();
      this.#changed();
    });
  }

  current(verdicts: Verdicts): Callers {
    this.#everybody = letsInOthers(verdicts);
    this.#followServices();
    if (this.#made?.verdicts !== verdicts) this.#made = { verdicts, callers: this.#make(verdicts) };
    return this.#made.callers;
  }

  close(): void {
    this.#endDatacenters();
    for (const { end } of this.#services.values()) end();
    this.#services.clear();
  }

  #make({ rules }: Verdicts): Callers {
    const { datacenter: own, listed, proxyId } = this.#deps;
    const datacenters = [...new Set([own, ...(this.#datacenters ?? [])])];
    const found: UpstreamTarget[] = [];
    for (const { source, sourceDatacenter } of rules)
      if (source !== WILDCARD)
        for (const datacenter of sourceDatacenter === undefined ? datacenters : [sourceDatacenter])
          found.push({ service: foldName(source), datacenter: foldName(datacenter) });
    for (const [datacenter, { names = [] }] of this.#services)
      for (const service of names) found.push({ service: foldName(service), datacenter });
    const services = [...this.#services.values()];
    return {
      named: listed.add(proxyId, found),
      complete: this.#datacenters !== undefined && services.every(({ names }) => names !== undefined),
    };
  }

  #followServices(): void {
    const { pool, datacenter: own } = this.#deps;
    if (!this.#everybody) return;
    for (const datacenter of this.#datacenters ?? []) {
      if (this.#services.has(datacenter)) continue;
      const followed: { names: readonly string[] | undefined; end: () => void } = {
        names: undefined,
        end: () => undefined,
      };
      this.#services.set(datacenter, followed);
      followed.end = pool.follow(
        'catalog.services',
        {},
        { ...this.#options(), ...(datacenter === own ? {} : { datacenter }) },
        ({ value }) => {
          if (value === undefined) return; // what was last known stays
          const names = Object.keys(value).sort();
          if (names.join() === followed.names?.join()) return;
          followed.names = names;
          this.#changed();
        },
      );
    }
  }

  #options(): { readonly token?: string } {
    const { token } = this.#deps;
    return token === undefined ? {} : { token };
  }

  #changed(): void {
    this.#made = undefined;
    this.#deps.changed();
  }
}

function letsInOthers({ rules, defaultAction }: Verdicts): boolean {
  return defaultAction === 'allow' || rules.some(({ source, action }) => source === WILDCARD && action === 'allow');
}
