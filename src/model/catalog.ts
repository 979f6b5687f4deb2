/** API types of the catalog and of health, as Consul writes them. Fields marked optional are omitted when empty. */

export interface ServiceAddress {
  readonly Address: string;
  readonly Port: number;
}

export interface Weights {
  readonly Passing: number;
  readonly Warning: number;
}

export type UpstreamType = '' | 'service' | 'prepared_query';

export interface Upstream {
  readonly DestinationType: UpstreamType;
  readonly DestinationNamespace?: string;
  readonly DestinationName: string;
  /** Absent means the proxy's own datacenter. */
  readonly Datacenter?: string;
  readonly LocalBindAddress?: string;
  readonly LocalBindPort?: number;
  /** Instead of address and port: path of a Unix socket, and its permissions in octal. */
  readonly LocalBindSocketPath?: string;
  readonly LocalBindSocketMode?: string;
  readonly Config?: Readonly<Record<string, unknown>>;
  readonly MeshGateway: Readonly<Record<string, unknown>>;
}

/** A proxy's own configuration; on a service that is no proxy it holds only the two empty objects. */
export interface ProxyConfig {
  readonly DestinationServiceName?: string;
  readonly DestinationServiceID?: string;
  readonly LocalServiceAddress?: string;
  readonly LocalServicePort?: number;
  readonly Config?: Readonly<Record<string, unknown>>;
  readonly Upstreams?: readonly Upstream[];
  readonly MeshGateway: Readonly<Record<string, unknown>>;
  readonly Expose: Readonly<Record<string, unknown>>;
}

export interface ConnectConfig {
  readonly Native?: boolean;
}

export interface CatalogNode {
  readonly ID: string;
  readonly Node: string;
  readonly Address: string;
  readonly Datacenter: string;
  readonly TaggedAddresses: Readonly<Record<string, string>> | null;
  readonly Meta: Readonly<Record<string, string>> | null;
  readonly CreateIndex: number;
  readonly ModifyIndex: number;
}

export interface NodeService {
  readonly Kind?: string;
  readonly ID: string;
  readonly Service: string;
  readonly Tags: readonly string[] | null;
  readonly Address: string;
  readonly TaggedAddresses?: Readonly<Record<string, ServiceAddress>>;
  readonly Meta: Readonly<Record<string, string>> | null;
  readonly Port: number;
  readonly Weights: Weights;
  readonly EnableTagOverride: boolean;
  readonly Proxy: ProxyConfig;
  readonly Connect: ConnectConfig;
  readonly CreateIndex: number;
  readonly ModifyIndex: number;
}

export type CheckStatus = 'passing' | 'warning' | 'critical';

export interface HealthCheck {
  readonly Node: string;
  readonly CheckID: string;
  readonly Name: string;
  readonly Status: string;
  readonly Notes: string;
  readonly Output: string;
  readonly ServiceID: string;
  readonly ServiceName: string;
  readonly ServiceTags: readonly string[] | null;
  readonly Type: string;
  readonly Definition: Readonly<Record<string, unknown>>;
  readonly CreateIndex: number;
  readonly ModifyIndex: number;
}

/** One instance with its node and its checks: /v1/health/service. */
export interface ServiceInstance {
  readonly Node: CatalogNode;
  readonly Service: NodeService;
  readonly Checks: readonly HealthCheck[];
}

/** One instance in the flat form of /v1/catalog/service. */
export interface CatalogService {
  readonly ID: string;
  readonly Node: string;
  readonly Address: string;
  readonly Datacenter: string;
  readonly TaggedAddresses: Readonly<Record<string, string>> | null;
  readonly NodeMeta: Readonly<Record<string, string>> | null;
  readonly ServiceKind: string;
  readonly ServiceID: string;
  readonly ServiceName: string;
  readonly ServiceTags: readonly string[] | null;
  readonly ServiceAddress: string;
  readonly ServiceTaggedAddresses?: Readonly<Record<string, ServiceAddress>>;
  readonly ServiceWeights: Weights;
  readonly ServiceMeta: Readonly<Record<string, string>> | null;
  readonly ServicePort: number;
  readonly ServiceEnableTagOverride: boolean;
  readonly ServiceProxy: ProxyConfig;
  readonly ServiceConnect: ConnectConfig;
  readonly CreateIndex: number;
  readonly ModifyIndex: number;
}

/** What callers may send to register; the catalog fills in what is missing and rejects what makes no sense. */
export interface RegisterRequest {
  readonly Datacenter?: string;
  readonly ID?: string;
  readonly Node?: string;
  readonly Address?: string;
  readonly TaggedAddresses?: Readonly<Record<string, string>> | null;
  readonly NodeMeta?: Readonly<Record<string, string>> | null;
  readonly Service?: Readonly<Partial<NodeService>> | null;
  readonly Check?: Readonly<Partial<HealthCheck>> | null;
  readonly Checks?: readonly Readonly<Partial<HealthCheck>>[] | null;
  readonly SkipNodeUpdate?: boolean;
}

export interface DeregisterRequest {
  readonly Datacenter?: string;
  readonly Node?: string;
  readonly ServiceID?: string;
  readonly CheckID?: string;
}
