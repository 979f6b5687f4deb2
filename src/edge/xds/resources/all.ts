import type { ProxySnapshot } from '../../../agent/proxycfg/snapshot.ts';
import type { Resource, ResourceSet } from '../resource.ts';
import { XDS_TYPES, type XdsType } from '../types.ts';
import type { ResourceBuilder } from './builder.ts';
import { callerChains } from './callers.ts';
import { clusters } from './cluster.ts';
import { endpoints } from './endpoints.ts';
import { exposedPaths } from './exposed-paths.ts';
import { inboundRoutes } from './http/inbound-routes.ts';
import { outboundRoutes } from './http/outbound-routes.ts';
import { requestRules } from './http/request-rules.ts';
import { requestTokens } from './http/request-tokens.ts';
import { inboundListener } from './inbound-listener.ts';
import { networkRules } from './network-rules.ts';
import { outboundListeners } from './outbound-listener.ts';
import { leafSecret, rootsSecret } from './secret.ts';

const BUILDERS: readonly ResourceBuilder[] = [
  clusters,
  endpoints,
  leafSecret,
  rootsSecret,
  inboundListener,
  callerChains,
  outboundListeners,
  exposedPaths,
  networkRules,
  inboundRoutes,
  outboundRoutes,
  requestRules,
  requestTokens,
];

interface Made {
  readonly inputs: readonly unknown[];
  readonly resources: readonly Resource[];
}

/** Makes the resources of one proxy, again and again: what did not change stays the same object. */
export class ResourceMaker {
  readonly #made = new Map<ResourceBuilder, Made>();
  #set: ResourceSet | undefined;

  make(snapshot: ProxySnapshot): ResourceSet {
    const touched = new Set<XdsType>();
    for (const builder of BUILDERS) {
      const before = this.#made.get(builder);
      const inputs = builder.inputs(snapshot);
      if (before !== undefined && sameInputs(before.inputs, inputs)) continue;
      const resources = builder.build(snapshot).map((made) => this.#kept(made));
      this.#made.set(builder, { inputs, resources });
      if (before !== undefined && sameInputs(before.resources, resources)) continue;
      for (const { type } of before?.resources ?? []) touched.add(type);
      for (const { type } of resources) touched.add(type);
    }
    if (this.#set === undefined || touched.size > 0) this.#set = this.#setOf(touched);
    return this.#set;
  }

  /** A type in which nothing changed keeps its map. */
  #setOf(touched: Iterable<XdsType>): ResourceSet {
    const set: Record<XdsType, ReadonlyMap<string, Resource>> = { ...(this.#set ?? NOTHING) };
    for (const type of touched) {
      const list: Resource[] = [];
      for (const { resources } of this.#made.values())
        for (const one of resources) if (one.type === type) list.push(one);
      set[type] = mapOf(list);
    }
    return set;
  }

  /** The one of before when it has the same bytes. */
  #kept(made: Resource): Resource {
    const before = this.#set?.[made.type].get(made.name);
    return before?.version === made.version && before.provisional === made.provisional ? before : made;
  }
}

function sameInputs(a: readonly unknown[], b: readonly unknown[]): boolean {
  return a.length === b.length && a.every((input, at) => input === b[at]);
}

const NOTHING = Object.fromEntries(XDS_TYPES.map((type) => [type, new Map()])) as unknown as ResourceSet;

/** By name, in their order. */
function mapOf(list: Resource[]): ReadonlyMap<string, Resource> {
  list.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  const map = new Map<string, Resource>();
  for (const one of list) map.set(one.name, one);
  return map;
}
