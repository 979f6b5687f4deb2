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
    let changed = false;
    for (const builder of BUILDERS) {
      const before = this.#made.get(builder);
      const inputs = builder.inputs(snapshot);
      if (before !== undefined && sameInputs(before.inputs, inputs)) continue;
      const resources = builder.build(snapshot).map((made) => this.#kept(made));
      this.#made.set(builder, { inputs, resources });
      changed = true;
    }
    if (changed || this.#set === undefined) this.#set = setOf([...this.#made.values()], this.#set);
    return this.#set;
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

/** A type in which nothing changed keeps its map. */
function setOf(made: readonly Made[], before: ResourceSet | undefined): ResourceSet {
  const set = Object.fromEntries(XDS_TYPES.map((type) => [type, new Map<string, Resource>()])) as Record<
    XdsType,
    Map<string, Resource>
  >;
  const all = made
    .flatMap(({ resources }) => resources)
    .sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  for (const one of all) set[one.type].set(one.name, one);
  const kept = XDS_TYPES.map((type) => [type, sameMaps(before?.[type], set[type]) ? before?.[type] : set[type]]);
  return Object.fromEntries(kept) as ResourceSet;
}

function sameMaps(a: ReadonlyMap<string, Resource> | undefined, b: ReadonlyMap<string, Resource>): boolean {
  if (a?.size !== b.size) return false;
  for (const [name, one] of b) if (a.get(name) !== one) return false;
  return true;
}
