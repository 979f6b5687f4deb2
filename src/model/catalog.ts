/** API types of the catalog and of health, as Consul writes them. Fields marked optional are omitted when empty. */

export interface ServiceAddress {
  readonly Address: string;
  readonly Port: number;
}

export interface Weights {
  readonly Passing: number;
  readonly Warning: number;
}

/** Where a node or an instance stands. */
export interface Locality {
  readonly Region: string;
  readonly Zone: string;
}

/** One of several ports of an instance; the default one stands in `Port` as well. */
export interface ServicePort {
  readonly Name: string;
  readonly Port: number;
  readonly Default: boolean;
}

export interface EnvoyExtension {
  readonly Name: string;
  readonly Required?: boolean;
  readonly Arguments?: Readonly<Record<string, unknown>>;
  readonly ConsulVersion?: string;
  readonly EnvoyVersion?: string;
}

export type UpstreamType = '' | 'service' | 'prepared_query';

export interface Upstream {
  readonly DestinationType: UpstreamType;
  readonly DestinationNamespace?: string;
  readonly DestinationName: string;
  /** Name of one of the destination's ports. */
  readonly DestinationPort?: string;
  /** Absent means the proxy's own datacenter. */
  readonly Datacenter?: string;
  readonly LocalBindAddress?: string;
  readonly LocalBindPort?: number;
  /** Instead of address and port: path of a Unix socket, and its permissions in octal. */
  readonly LocalBindSocketPath?: string;
  readonly LocalBindSocketMode?: string;
  readonly Config?: Readonly<Record<string, unknown>>;
  readonly MeshGateway: Readonly<Record<string, unknown>>;
  readonly CentrallyConfigured?: boolean;
}

/** A proxy's own configuration; on a service that is no proxy it holds only the two empty objects. */
export interface ProxyConfig {
  readonly EnvoyExtensions?: readonly EnvoyExtension[];
  readonly DestinationServiceName?: string;
  readonly DestinationServiceID?: string;
  readonly LocalServiceAddress?: string;
  readonly LocalServicePort?: number;
  readonly LocalServicePorts?: readonly ServicePort[];
  readonly LocalServiceSocketPath?: string;
  readonly Mode?: string;
  readonly TransparentProxy?: Readonly<Record<string, unknown>>;
  readonly Config?: Readonly<Record<string, unknown>>;
  readonly Upstreams?: readonly Upstream[];
  readonly MeshGateway: Readonly<Record<string, unknown>>;
  readonly Expose: Readonly<Record<string, unknown>>;
  readonly AccessLogs?: Readonly<Record<string, unknown>>;
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
  readonly Locality?: Locality;
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
  readonly Ports?: readonly ServicePort[];
  /** Path of a Unix socket instead of address and port. */
  readonly SocketPath?: string;
  readonly Weights: Weights;
  readonly EnableTagOverride: boolean;
  readonly Proxy: ProxyConfig;
  readonly Connect: ConnectConfig;
  readonly Locality?: Locality;
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
  /** Port of the proxy that lets the check's requests through. */
  readonly ExposedPort?: number;
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
  readonly ServicePorts?: readonly ServicePort[];
  readonly ServiceSocketPath?: string;
  readonly ServiceEnableTagOverride: boolean;
  readonly ServiceProxy: ProxyConfig;
  readonly ServiceConnect: ConnectConfig;
  readonly ServiceLocality?: Locality;
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
  readonly Locality?: Partial<Locality> | null;
}

export interface DeregisterRequest {
  readonly Datacenter?: string;
  readonly Node?: string;
  readonly ServiceID?: string;
  readonly CheckID?: string;
}
