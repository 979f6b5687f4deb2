import { createHash } from 'node:crypto';
import { formatDuration, parseDuration } from '../../lib/duration.ts';
import { IsthmusError } from '../../lib/errors.ts';
import type { ConfigEntry, ConfigEntryKind } from '../../model/config-entry.ts';
import type {
  ChainNode,
  ChainOverrides,
  ChainSplit,
  ChainTarget,
  DiscoveryChain,
  FailoverPolicyFields,
} from '../../model/discovery-chain.ts';
import { PROXY_DEFAULTS_NAME, type ProxyDefaults } from '../../model/entries/proxy-defaults.ts';
import type { ServiceDefaults } from '../../model/entries/service-defaults.ts';
import type { Failover, Redirect, ServiceResolver } from '../../model/entries/service-resolver.ts';
import type { ServiceRouter } from '../../model/entries/service-router.ts';
import type { ServiceSplitter, Split } from '../../model/entries/service-splitter.ts';
import type { HeaderModifiers } from '../../model/layer7/headers.ts';
import { isRequestProtocol } from '../../model/layer7/route-table.ts';

/** Finds an entry by kind and name; in a transaction, what it finds is guarded against changes. */
export type EntryLookup = (kind: ConfigEntryKind, name: string) => ConfigEntry | undefined;

export interface ChainOptions {
  /** Datacenter that the chain is compiled for. */
  readonly evaluateIn: string;
  /** Datacenter that compiles. */
  readonly own: string;
  /** `<uuid>.consul`; names of targets end in it. */
  readonly trustDomain: string;
  readonly overrides?: ChainOverrides;
}

const DEFAULT_CONNECT_TIMEOUT_MS = 5_000;
const HASH_LENGTH = 8;

interface Place {
  readonly service: string;
  readonly subset: string;
  readonly datacenter: string;
}

/** Protocol of a service: its own defaults, then those of all proxies, then tcp. */
export function protocolOf(lookup: EntryLookup, service: string): string {
  const own = (lookup('service-defaults', service) as ServiceDefaults | undefined)?.Protocol;
  if (own !== undefined) return own;
  const shared = (lookup('proxy-defaults', PROXY_DEFAULTS_NAME) as ProxyDefaults | undefined)?.Config?.protocol;
  return typeof shared === 'string' && shared !== '' ? shared.toLowerCase() : 'tcp';
}

/** Follows router, splitters and resolvers from a service to the targets that may serve it. */
export function compileChain(lookup: EntryLookup, service: string, options: ChainOptions): DiscoveryChain {
  return new ChainCompiler(lookup, service, options).compile();
}

class ChainCompiler {
  readonly #lookup: EntryLookup;
  readonly #service: string;
  readonly #options: ChainOptions;
  readonly #nodes = new Map<string, ChainNode>();
  readonly #targets = new Map<string, ChainTarget>();
  readonly #splitting = new Set<string>();
  /** Overrides that made a difference. */
  readonly #customized: Record<string, unknown> = {};
  readonly #overrides: ChainOverrides;
  /** Whether routers and splitters count. */
  readonly #requests: boolean;
  #protocol: string | undefined;
  #advanced = false;

  constructor(lookup: EntryLookup, service: string, options: ChainOptions) {
    this.#lookup = lookup;
    this.#service = service;
    this.#options = options;
    this.#overrides = options.overrides ?? {};
    const { protocol } = this.#overrides;
    this.#requests = protocol === undefined || isRequestProtocol(protocol);
  }

  compile(): DiscoveryChain {
    this.#agree(this.#service);
    const start = this.#startNode();
    const protocol = this.#protocol ?? 'tcp';
    if (this.#advanced && !isRequestProtocol(protocol))
      throw graphError(
        `discovery chain ${quote(this.#service)} uses a protocol ${quote(protocol)} that does not permit advanced ` +
          `routing or splitting behavior`,
      );
    const wanted = this.#overrides.protocol ?? protocol;
    if (wanted !== protocol) this.#customized.protocol = wanted;
    return {
      ServiceName: this.#service,
      Namespace: 'default',
      Datacenter: this.#options.evaluateIn,
      ...(Object.keys(this.#customized).length === 0 ? {} : { CustomizationHash: hashOf(this.#customized) }),
      Protocol: wanted,
      StartNode: start,
      Nodes: sortedObject(this.#nodes),
      Targets: sortedObject(this.#targets),
    };
  }

  #startNode(): string {
    const router = this.#requests
      ? (this.#lookup('service-router', this.#service) as ServiceRouter | undefined)
      : undefined;
    if (router === undefined) return this.#splitterOrResolver(this.#place(this.#service));
    this.#advanced = true;
    const name = `${this.#service}.default`;
    const routes = (router.Routes ?? []).map((route) => {
      const { Service = this.#service, ServiceSubset = '' } = route.Destination ?? {};
      return { Definition: route, NextNode: this.#splitterOrResolver(this.#place(Service, ServiceSubset)) };
    });
    routes.push({
      Definition: {
        Match: { HTTP: { PathPrefix: '/' } },
        Destination: { Service: this.#service, Namespace: 'default' },
      },
      NextNode: this.#splitterOrResolver(this.#place(this.#service)),
    });
    this.#nodes.set(`router:${name}`, { Type: 'router', Name: name, Routes: routes });
    return `router:${name}`;
  }

  #place(service: string, subset = '', datacenter = this.#options.evaluateIn): Place {
    return { service, subset, datacenter };
  }

  #splitterOrResolver(place: Place): string {
    if (place.subset !== '' || !this.#requests) return this.#resolver(place);
    const splitter = this.#lookup('service-splitter', place.service) as ServiceSplitter | undefined;
    if (splitter === undefined) return this.#resolver(place);
    this.#advanced = true;
    this.#agree(place.service);
    const name = `${place.service}.default`;
    const id = `splitter:${name}`;
    if (this.#nodes.has(id)) return id;
    const splits = this.#splits(splitter, 100).map((split) => ({
      ...split,
      Weight: Math.round(split.Weight * 100) / 100,
    }));
    this.#nodes.set(id, { Type: 'splitter', Name: name, Splits: splits });
    return id;
  }

  /** A splitter that another one leads to is flattened into it, its weights scaled to its share. */
  #splits(splitter: ServiceSplitter, share: number, outer: Split = { Weight: share }): ChainSplit[] {
    if (this.#splitting.has(splitter.Name)) throw graphError(`detected circular reference: ${this.#circle(splitter)}`);
    this.#splitting.add(splitter.Name);
    const result: ChainSplit[] = [];
    for (const split of splitter.Splits ?? []) {
      const weight = (split.Weight * share) / 100;
      const inner = this.#innerSplitter(splitter, split);
      if (inner !== undefined) {
        this.#agree(inner.Name);
        result.push(...this.#splits(inner, weight, withOuter(split, outer)));
      } else {
        const place = this.#place(split.Service ?? splitter.Name, split.ServiceSubset);
        result.push({ Weight: weight, NextNode: this.#resolver(place), ...definitionOf(withOuter(split, outer)) });
      }
    }
    this.#splitting.delete(splitter.Name);
    return result;
  }

  #innerSplitter(outer: ServiceSplitter, split: Split): ServiceSplitter | undefined {
    const { Service = outer.Name, ServiceSubset } = split;
    if (Service === outer.Name || ServiceSubset !== undefined) return undefined;
    return this.#lookup('service-splitter', Service) as ServiceSplitter | undefined;
  }

  #circle(splitter: ServiceSplitter): string {
    return `[${[...this.#splitting, splitter.Name].map((name) => `splitter:${name}.default`).join(' -> ')}]`;
  }

  #resolver(from: Place): string {
    const { place, entry } = this.#follow(from);
    const target = this.#target(place, entry);
    const id = `resolver:${target.ID}`;
    if (this.#nodes.has(id)) return id;
    const failover = this.#failoverOf(place, entry);
    const shared = this.#lookup('proxy-defaults', PROXY_DEFAULTS_NAME) as ProxyDefaults | undefined;
    const policy: FailoverPolicyFields | undefined = failover?.Policy ?? shared?.FailoverPolicy;
    const failoverTargets = failover === undefined ? [] : this.#failoverTargets(place, failover);
    const near = entry?.PrioritizeByLocality ?? shared?.PrioritizeByLocality;
    this.#nodes.set(id, {
      Type: 'resolver',
      Name: target.ID,
      Resolver: {
        ConnectTimeout: this.#connectTimeout(entry),
        ...(entry === undefined ? { Default: true as const } : {}),
        Target: target.ID,
        ...(entry?.RequestTimeout === undefined ? {} : { RequestTimeout: entry.RequestTimeout }),
        ...(failoverTargets.length === 0
          ? {}
          : { Failover: { Targets: failoverTargets, ...(policy === undefined ? {} : { Policy: policy }) } }),
      },
      ...(near === undefined ? {} : { PrioritizeByLocality: near }),
      ...(entry?.LoadBalancer === undefined ? {} : { LoadBalancer: entry.LoadBalancer }),
    });
    return id;
  }

  #connectTimeout(entry: ServiceResolver | undefined): string {
    const set = entry?.ConnectTimeout === undefined ? 0 : parseDuration(entry.ConnectTimeout);
    const own = set > 0 ? set : DEFAULT_CONNECT_TIMEOUT_MS;
    const wanted = this.#overrides.connectTimeoutMs ?? own;
    if (wanted !== own) this.#customized.connectTimeoutMs = wanted;
    return formatDuration(wanted);
  }

  /** Follows redirects and default subsets until a place stands. */
  #follow(from: Place): { place: Place; entry: ServiceResolver | undefined } {
    const seen = new Set<string>();
    let place = from;
    for (;;) {
      const id = targetId(place);
      if (seen.has(id)) throw graphError(`detected circular resolver redirect: [${[...seen, id].join(' -> ')}]`);
      seen.add(id);
      this.#agree(place.service);
      const entry = this.#lookup('service-resolver', place.service) as ServiceResolver | undefined;
      const redirect = entry?.Redirect;
      if (redirect !== undefined) {
        const next = rewritten(place, redirect);
        if (targetId(next) !== id) {
          place = next;
          continue;
        }
      }
      if (place.subset === '' && entry?.DefaultSubset !== undefined) {
        place = { ...place, subset: entry.DefaultSubset };
        continue;
      }
      if (place.subset !== '' && entry?.Subsets?.[place.subset] === undefined)
        throw graphError(`service ${quote(place.service)} does not have a subset named ${quote(place.subset)}`);
      return { place, entry };
    }
  }

  #failoverOf(place: Place, entry: ServiceResolver | undefined): Failover | undefined {
    return entry?.Failover?.[place.subset] ?? entry?.Failover?.['*'];
  }

  #failoverTargets(place: Place, failover: Failover): readonly string[] {
    const own = targetId(place);
    const ids: string[] = [];
    for (const wanted of failoverRedirects(place, failover).map((each) => rewritten(place, each))) {
      if (targetId(wanted) === own) continue;
      const { place: found, entry: foundEntry } = this.#follow(wanted);
      ids.push(this.#target(found, foundEntry).ID);
    }
    return ids;
  }

  #target(place: Place, entry: ServiceResolver | undefined): ChainTarget {
    const id = targetId(place);
    const known = this.#targets.get(id);
    if (known !== undefined) return known;
    const defaults = this.#lookup('service-defaults', place.service) as ServiceDefaults | undefined;
    const external = defaults?.ExternalSNI;
    if (external !== undefined && entry !== undefined) refuseExternal(place.service, entry);
    const mode = external === undefined ? this.#gatewayMode(place, defaults) : undefined;
    const name = `${id}.internal.${this.#options.trustDomain}`;
    const target: ChainTarget = {
      ID: id,
      Service: place.service,
      ...(place.subset === '' ? {} : { ServiceSubset: place.subset }),
      Namespace: 'default',
      Datacenter: place.datacenter,
      MeshGateway: mode === undefined ? {} : { Mode: mode },
      Subset: place.subset === '' ? {} : { ...entry?.Subsets?.[place.subset] },
      ...(external === undefined ? {} : { External: true as const }),
      SNI: external ?? name,
      Name: name,
    };
    this.#targets.set(id, target);
    return target;
  }

  /** Services of the own datacenter are reached without a gateway. */
  #gatewayMode({ datacenter }: Place, defaults: ServiceDefaults | undefined): string | undefined {
    if (datacenter === this.#options.own) return undefined;
    const shared = this.#lookup('proxy-defaults', PROXY_DEFAULTS_NAME) as ProxyDefaults | undefined;
    const own = defaults?.MeshGateway.Mode ?? shared?.MeshGateway.Mode;
    const wanted = this.#overrides.meshGateway ?? own;
    if (wanted !== own) this.#customized.meshGateway = wanted;
    return wanted;
  }

  /** All services of a chain must speak one protocol. */
  #agree(service: string): void {
    const protocol = protocolOf(this.#lookup, service);
    if (this.#protocol === undefined) this.#protocol = protocol;
    if (this.#protocol !== protocol)
      throw graphError(
        `discovery chain ${quote(this.#service)} uses inconsistent protocols; service ${quote(service)} has ` +
          `${quote(protocol)} which is not ${quote(this.#protocol)}`,
      );
  }
}

/** A subset belongs to its service: with another service it is gone. */
function rewritten(place: Place, { Service = place.service, ServiceSubset, Datacenter }: Redirect): Place {
  return {
    service: Service,
    subset: ServiceSubset ?? (Service === place.service ? place.subset : ''),
    datacenter: Datacenter ?? place.datacenter,
  };
}

function failoverRedirects(place: Place, failover: Failover): readonly Redirect[] {
  const { Service, ServiceSubset, Datacenters = [place.datacenter], Targets } = failover;
  if (Targets !== undefined) return Targets;
  return Datacenters.map((Datacenter) => ({
    Datacenter,
    ...(Service === undefined ? {} : { Service }),
    ...(ServiceSubset === undefined ? {} : { ServiceSubset }),
  }));
}

/**
 * A split inside another one changes what the outer one changes too; where both name a header, its own change counts.
 */
function withOuter(split: Split, outer: Split): Split {
  const RequestHeaders = merged(outer.RequestHeaders, split.RequestHeaders);
  const ResponseHeaders = merged(outer.ResponseHeaders, split.ResponseHeaders);
  return {
    ...split,
    ...(RequestHeaders === undefined ? {} : { RequestHeaders }),
    ...(ResponseHeaders === undefined ? {} : { ResponseHeaders }),
  };
}

function merged(outer: HeaderModifiers | undefined, inner: HeaderModifiers | undefined): HeaderModifiers | undefined {
  if (outer === undefined || inner === undefined) return inner ?? outer;
  const Remove = [...new Set([...(outer.Remove ?? []), ...(inner.Remove ?? [])])];
  return {
    ...(outer.Add || inner.Add ? { Add: { ...outer.Add, ...inner.Add } } : {}),
    ...(outer.Set || inner.Set ? { Set: { ...outer.Set, ...inner.Set } } : {}),
    ...(Remove.length > 0 ? { Remove } : {}),
  };
}

function definitionOf({ RequestHeaders, ResponseHeaders }: Split): Pick<ChainSplit, 'Definition'> {
  if (RequestHeaders === undefined && ResponseHeaders === undefined) return {};
  return {
    Definition: {
      ...(RequestHeaders === undefined ? {} : { RequestHeaders }),
      ...(ResponseHeaders === undefined ? {} : { ResponseHeaders }),
    },
  };
}

/** What an external service is, only its name tells: there are no instances to choose from. */
function refuseExternal(service: string, entry: ServiceResolver): void {
  const refuse = (what: string): IsthmusError =>
    graphError(`service ${quote(service)} has an external SNI set; cannot define ${what} for external services`);
  if (entry.Redirect !== undefined) throw refuse('redirects');
  if (Object.keys(entry.Subsets ?? {}).length > 0) throw refuse('subsets');
  if (Object.keys(entry.Failover ?? {}).length > 0) throw refuse('failover');
}

function hashOf(customized: Readonly<Record<string, unknown>>): string {
  const text = JSON.stringify(Object.entries(customized).sort());
  return createHash('sha256').update(text).digest('hex').slice(0, HASH_LENGTH);
}

function targetId(place: Place): string {
  return `${place.subset === '' ? '' : `${place.subset}.`}${place.service}.default.${place.datacenter}`;
}

function graphError(text: string): IsthmusError {
  return new IsthmusError('rejected', text);
}

function quote(text: string): string {
  return JSON.stringify(text);
}

function sortedObject<T>(map: ReadonlyMap<string, T>): Readonly<Record<string, T>> {
  return Object.fromEntries([...map].sort(([a], [b]) => (a < b ? -1 : 1)));
}
