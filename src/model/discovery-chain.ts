import type { HeaderModifiers } from './layer7/headers.ts';
import type { HttpMatchFields } from './layer7/match.ts';

/** How connections to a service are resolved, as Consul writes it (/v1/discovery-chain). */

/** How a route's requests are sent on, as a router's entry writes it. */
export interface RouteDestinationFields {
  readonly Service?: string;
  readonly ServiceSubset?: string;
  readonly Namespace?: string;
  readonly PrefixRewrite?: string;
  /** Below zero: for ever. */
  readonly RequestTimeout?: string;
  readonly IdleTimeout?: string;
  readonly NumRetries?: number;
  readonly RetryOnConnectFailure?: boolean;
  readonly RetryOn?: readonly string[];
  readonly RetryOnStatusCodes?: readonly number[];
  readonly RequestHeaders?: HeaderModifiers;
  readonly ResponseHeaders?: HeaderModifiers;
}

export interface RouteDefinition {
  readonly Match?: { readonly HTTP?: HttpMatchFields };
  readonly Destination?: RouteDestinationFields;
}

export interface LoadBalancerFields {
  readonly Policy?: string;
  readonly RingHashConfig?: { readonly MinimumRingSize?: number; readonly MaximumRingSize?: number };
  readonly LeastRequestConfig?: { readonly ChoiceCount?: number };
  readonly HashPolicies?: readonly HashPolicyFields[];
}

export interface HashPolicyFields {
  readonly Field?: string;
  readonly FieldValue?: string;
  readonly CookieConfig?: { readonly Session?: boolean; readonly TTL?: string; readonly Path?: string };
  readonly SourceIP?: boolean;
  readonly Terminal?: boolean;
}

export interface FailoverPolicyFields {
  readonly Mode?: 'sequential' | 'order-by-locality';
  readonly Regions?: readonly string[];
}

export interface PrioritizeByLocalityFields {
  readonly Mode?: 'none' | 'failover';
}

/** One service, or subset of it, in one datacenter: where a chain may end. */
export interface ChainTarget {
  /** `[subset.]service.namespace.datacenter` */
  readonly ID: string;
  readonly Service: string;
  readonly ServiceSubset?: string;
  readonly Namespace: 'default';
  readonly Datacenter: string;
  readonly MeshGateway: { readonly Mode?: string };
  readonly Subset: { readonly Filter?: string; readonly OnlyPassing?: boolean };
  readonly External?: true;
  readonly SNI: string;
  readonly Name: string;
}

export interface ResolverNode {
  readonly Type: 'resolver';
  readonly Name: string;
  readonly Resolver: {
    readonly ConnectTimeout: string;
    readonly RequestTimeout?: string;
    readonly Default?: true;
    readonly Target: string;
    readonly Failover?: { readonly Targets: readonly string[]; readonly Policy?: FailoverPolicyFields };
  };
  readonly LoadBalancer?: LoadBalancerFields;
  readonly PrioritizeByLocality?: PrioritizeByLocalityFields;
}

export interface SplitterNode {
  readonly Type: 'splitter';
  readonly Name: string;
  readonly Splits: readonly ChainSplit[];
}

export interface ChainSplit {
  readonly Weight: number;
  readonly NextNode: string;
  /** What of the split's entry changes requests; absent when nothing does. */
  readonly Definition?: { readonly RequestHeaders?: HeaderModifiers; readonly ResponseHeaders?: HeaderModifiers };
}

export interface RouterNode {
  readonly Type: 'router';
  readonly Name: string;
  readonly Routes: readonly { readonly Definition: RouteDefinition; readonly NextNode: string }[];
}

export type ChainNode = ResolverNode | SplitterNode | RouterNode;

/** What Consul calls a compiled discovery chain. */
export interface DiscoveryChain {
  readonly ServiceName: string;
  readonly Namespace: 'default';
  readonly Datacenter: string;
  /** Tells chains of one service apart that overrides made different. */
  readonly CustomizationHash?: string;
  readonly Protocol: string;
  readonly StartNode: string;
  readonly Nodes: Readonly<Record<string, ChainNode>>;
  readonly Targets: Readonly<Record<string, ChainTarget>>;
}

/** What one caller wants otherwise than the entries say. */
export interface ChainOverrides {
  /** Another protocol; one without requests leaves out routers and splitters. */
  readonly protocol?: string;
  readonly connectTimeoutMs?: number;
  readonly meshGateway?: string;
}

export interface ChainArgs {
  readonly service: string;
  /** Datacenter to compile for; default the one that answers. */
  readonly compileDatacenter?: string;
  readonly overrides?: ChainOverrides;
}

/** Where connections to a service may go, and what counts as healthy there. */
export interface ServiceTarget {
  /** ID of the {@link ChainTarget}. */
  readonly id: string;
  readonly service: string;
  readonly datacenter: string;
  /** In the filter grammar; '' takes all instances. */
  readonly filter: string;
  readonly onlyPassing: boolean;
}

/** Where connections to a service go. */
export interface ServiceTargets {
  readonly connectTimeoutMs: number;
  /** For connections that are forwarded as bytes: one target, then what it fails over to. Never empty. */
  readonly targets: readonly ServiceTarget[];
  /** For requests, when the service's protocol has them. */
  readonly requests?: RequestTargets;
}

export interface RequestTargets {
  readonly chain: DiscoveryChain;
  /** Each target of the chain once. */
  readonly targets: readonly ServiceTarget[];
}
