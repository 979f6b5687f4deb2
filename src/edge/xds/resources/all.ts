import type { ProxySnapshot } from '../../../agent/proxycfg/snapshot.ts';
import type { Resource, ResourceSet } from '../resource.ts';
import { XDS_TYPES, type XdsType } from '../types.ts';
import type { ResourceBuilder } from './builder.ts';
import { callerChains } from './callers.ts';
import { clusters } from './cluster.ts';
import { endpoints } from './endpoints.ts';
import { exposedPaths } from './exposed-paths.ts';
import { type Extended, extended, extensionFields } from './extensions/apply.ts';
import { inboundRoutes } from './http/inbound-routes.ts';
import { outboundRoutes } from './http/outbound-routes.ts';
import { requestRules } from './http/request-rules.ts';
import { requestTokens } from './http/request-tokens.ts';
import { inboundListener } from './inbound-listener.ts';
import { networkRules } from './network-rules.ts';
import { outboundListeners } from './outbound-listener.ts';
import type { Problem } from './problems.ts';
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
  readonly problems: readonly Problem[];
}

/** Makes the resources of one proxy, again and again: what did not change stays the same object. */
export class ResourceMaker {
  readonly #made = new Map<ResourceBuilder, Made>();
  #extended: (Made & Extended) | undefined;
  #set: ResourceSet | undefined;

  make(snapshot: ProxySnapshot): ResourceSet {
    const touched = new Set<XdsType>();
    for (const builder of BUILDERS) {
      const before = this.#made.get(builder);
      const inputs = builder.inputs(snapshot);
      if (before !== undefined && sameInputs(before.inputs, inputs)) continue;
      const problems: Problem[] = [];
      const resources = builder.build(snapshot, (problem) => problems.push(problem)).map((made) => this.#kept(made));
      this.#made.set(builder, { inputs, resources, problems });
      if (before !== undefined && sameInputs(before.resources, resources)) continue;
      for (const { type } of before?.resources ?? []) touched.add(type);
      for (const { type } of resources) touched.add(type);
    }
    if (this.#extend(snapshot)) this.#set = this.#extendedSet();
    else if (this.#set === undefined || (touched.size > 0 && this.#extended === undefined))
      this.#set = this.#setOf(touched);
    return this.#set;
  }

  /** What can't be carried out of the options that the last resources were made by. */
  get problems(): readonly Problem[] {
    const problems = [...this.#made.values()].flatMap((made) => made.problems);
    return this.#extended === undefined ? problems : [...problems, ...this.#extended.problems];
  }

  /** True when what users add changed, or what they add it to. */
  #extend(snapshot: ProxySnapshot): boolean {
    const fields = extensionFields(snapshot.entries);
    const before = this.#extended;
    if (fields.length === 0) {
      this.#extended = undefined;
      return before !== undefined;
    }
    const { config, upstreams, entries, refused, protocol } = snapshot;
    const { proxies, service } = entries;
    const lists = [...this.#made.values()].map(({ resources }) => resources);
    const inputs = [...lists, config, upstreams, proxies, service, refused, protocol];
    if (before !== undefined && sameInputs(before.inputs, inputs)) return false;
    const problems: Problem[] = [];
    const made = extended(lists.flat(), snapshot, fields, (problem) => problems.push(problem));
    this.#extended = { ...made, resources: made.resources.map((each) => this.#kept(each)), inputs, problems };
    return true;
  }

  #extendedSet(): ResourceSet {
    if (this.#extended === undefined) return this.#setOf(XDS_TYPES);
    const { resources, whole } = this.#extended;
    if (whole) return this.#setOf(XDS_TYPES, resources);
    // Nothing is let in without what is required: what was there before stays, and nothing new opens.
    const closed = resources.filter(({ type }) => type !== 'listener');
    return this.#set ?? this.#setOf(XDS_TYPES, closed);
  }

  /** A type in which nothing changed keeps its map. @param all what there is; by default what the builders made. */
  #setOf(touched: Iterable<XdsType>, all?: readonly Resource[]): ResourceSet {
    const set: Record<XdsType, ReadonlyMap<string, Resource>> = { ...(this.#set ?? NOTHING) };
    const lists = all === undefined ? [...this.#made.values()].map(({ resources }) => resources) : [all];
    for (const type of touched) {
      const list: Resource[] = [];
      for (const resources of lists) for (const one of resources) if (one.type === type) list.push(one);
      const map = mapOf(list);
      if (!sameMaps(set[type], map)) set[type] = map;
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

function sameMaps(a: ReadonlyMap<string, Resource>, b: ReadonlyMap<string, Resource>): boolean {
  if (a.size !== b.size) return false;
  for (const [name, one] of b) if (a.get(name) !== one) return false;
  return true;
}

/** By name, in their order. */
function mapOf(list: Resource[]): ReadonlyMap<string, Resource> {
  list.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  const map = new Map<string, Resource>();
  for (const one of list) map.set(one.name, one);
  return map;
}
