import type { CatalogNode, CatalogService, HealthCheck, NodeService, ServiceInstance } from '../catalog.ts';
import type { Intention } from '../intention.ts';
import { FilterCompiler } from './filter.ts';
import { BOOL, type Fields, list, map, NUMBER, struct, TEXT, TEXT_MAP, TEXTS } from './schema.ts';

/** What can be filtered by which fields, as Consul documents it for each list. */

const SERVICE_ADDRESSES = map(struct({ Address: TEXT, Port: NUMBER }));
const WEIGHTS = struct({ Passing: NUMBER, Warning: NUMBER });
const CONNECT = struct({ Native: BOOL });
const GATEWAY = struct({ Mode: TEXT });

const PROXY = struct({
  DestinationServiceName: TEXT,
  DestinationServiceID: TEXT,
  LocalServiceAddress: TEXT,
  LocalServicePort: NUMBER,
  LocalServiceSocketPath: TEXT,
  Mode: TEXT,
  Upstreams: list({
    DestinationType: TEXT,
    DestinationNamespace: TEXT,
    DestinationName: TEXT,
    Datacenter: TEXT,
    LocalBindAddress: TEXT,
    LocalBindPort: NUMBER,
    LocalBindSocketPath: TEXT,
    LocalBindSocketMode: TEXT,
    MeshGateway: GATEWAY,
  }),
  MeshGateway: GATEWAY,
  Expose: struct({
    Checks: BOOL,
    Paths: list({
      ListenerPort: NUMBER,
      Path: TEXT,
      LocalPathPort: NUMBER,
      Protocol: TEXT,
      ParsedFromCheck: BOOL,
    }),
  }),
});

const NODE: Fields = {
  ID: TEXT,
  Node: TEXT,
  Address: TEXT,
  Datacenter: TEXT,
  TaggedAddresses: TEXT_MAP,
  Meta: TEXT_MAP,
};

const NODE_SERVICE: Fields = {
  Kind: TEXT,
  ID: TEXT,
  Service: TEXT,
  Tags: TEXTS,
  Address: TEXT,
  SocketPath: TEXT,
  TaggedAddresses: SERVICE_ADDRESSES,
  Meta: TEXT_MAP,
  Port: NUMBER,
  Weights: WEIGHTS,
  EnableTagOverride: BOOL,
  Proxy: PROXY,
  Connect: CONNECT,
};

const CATALOG_SERVICE: Fields = {
  ID: TEXT,
  Node: TEXT,
  Address: TEXT,
  Datacenter: TEXT,
  TaggedAddresses: TEXT_MAP,
  NodeMeta: TEXT_MAP,
  ServiceKind: TEXT,
  ServiceID: TEXT,
  ServiceName: TEXT,
  ServiceTags: TEXTS,
  ServiceAddress: TEXT,
  ServiceSocketPath: TEXT,
  ServiceTaggedAddresses: SERVICE_ADDRESSES,
  ServiceWeights: WEIGHTS,
  ServiceMeta: TEXT_MAP,
  ServicePort: NUMBER,
  ServiceEnableTagOverride: BOOL,
  ServiceProxy: PROXY,
  ServiceConnect: CONNECT,
};

const HEALTH_CHECK: Fields = {
  Node: TEXT,
  CheckID: TEXT,
  Name: TEXT,
  Status: TEXT,
  Notes: TEXT,
  Output: TEXT,
  ServiceID: TEXT,
  ServiceName: TEXT,
  ServiceTags: TEXTS,
  Type: TEXT,
};

export const nodeFilter = new FilterCompiler<CatalogNode>(NODE);
export const nodeServiceFilter = new FilterCompiler<NodeService>(NODE_SERVICE);
export const catalogServiceFilter = new FilterCompiler<CatalogService>(CATALOG_SERVICE);
/** A service as an agent shows it. */
export const agentServiceFilter = new FilterCompiler<unknown>({ ...NODE_SERVICE, Datacenter: TEXT });
/** Also for /v1/agent/checks. */
export const healthCheckFilter = new FilterCompiler<HealthCheck>(HEALTH_CHECK);
export const serviceInstanceFilter = new FilterCompiler<ServiceInstance>({
  Node: struct(NODE),
  Service: struct(NODE_SERVICE),
  Checks: list(HEALTH_CHECK),
});
/** A node with its services and checks: /v1/internal/ui/nodes. */
export const nodeDumpFilter = new FilterCompiler<unknown>({
  ID: TEXT,
  Node: TEXT,
  Address: TEXT,
  TaggedAddresses: TEXT_MAP,
  Meta: TEXT_MAP,
  Services: list(NODE_SERVICE),
  Checks: list(HEALTH_CHECK),
});
export const intentionFilter = new FilterCompiler<Intention>({
  ID: TEXT,
  Description: TEXT,
  SourceNS: TEXT,
  SourceName: TEXT,
  SourceDatacenter: TEXT,
  DestinationNS: TEXT,
  DestinationName: TEXT,
  DestinationDatacenter: TEXT,
  SourceType: TEXT,
  Action: TEXT,
  Meta: TEXT_MAP,
  Precedence: NUMBER,
});
