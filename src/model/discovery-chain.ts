/** How connections to a service are resolved, as Consul writes it (/v1/discovery-chain). */

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
    readonly Default?: true;
    readonly Target: string;
    readonly Failover?: { readonly Targets: readonly string[] };
  };
  readonly LoadBalancer?: Readonly<Record<string, unknown>>;
}

export interface SplitterNode {
  readonly Type: 'splitter';
  readonly Name: string;
  readonly Splits: readonly { readonly Weight: number; readonly NextNode: string }[];
}

export interface RouterNode {
  readonly Type: 'router';
  readonly Name: string;
  readonly Routes: readonly { readonly Definition: unknown; readonly NextNode: string }[];
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

/** The part of a chain that connections without requests follow: one target, then what it fails over to. */
export interface ServiceTargets {
  readonly connectTimeoutMs: number;
  /** In order; never empty. */
  readonly targets: readonly ServiceTarget[];
}
