import type {
  CatalogNode,
  CatalogService,
  DeregisterRequest,
  HealthCheck,
  NodeService,
  RegisterRequest,
  ServiceInstance,
} from '../model/catalog.ts';
import type { Answer, CallOptions } from './options.ts';
import type { Transport } from './transport.ts';

export interface CatalogApi {
  /** Nearest first. */
  datacenters(call?: CallOptions): Promise<readonly string[]>;
  nodes(call?: CallOptions): Promise<Answer<readonly CatalogNode[]>>;
  /** Tags by service. */
  services(call?: CallOptions): Promise<Answer<Readonly<Record<string, readonly string[]>>>>;
  service(name: string, call?: CallOptions, tags?: readonly string[]): Promise<Answer<readonly CatalogService[]>>;
  /** Instances that accept mesh connections for a service. */
  connect(name: string, call?: CallOptions): Promise<Answer<readonly CatalogService[]>>;
  node(name: string, call?: CallOptions): Promise<Answer<NodeServices | null>>;
  /** Where instances are reached from a datacenter, and why. */
  addresses(
    service: string,
    options?: { readonly from?: string; readonly connect?: boolean },
    call?: CallOptions,
  ): Promise<readonly InstanceAddress[]>;
  register(registration: RegisterRequest, call?: CallOptions): Promise<void>;
  deregister(registration: DeregisterRequest, call?: CallOptions): Promise<void>;
}

export interface InstanceAddress {
  readonly Node: string;
  readonly ServiceID: string;
  readonly Datacenter: string;
  readonly From: string;
  readonly Address: string;
  readonly Port: number;
  /** 'service wan', 'service', 'node wan' or 'node'. */
  readonly Source: string;
}

export interface NodeServices {
  readonly Node: CatalogNode;
  readonly Services: Readonly<Record<string, NodeService>>;
}

export interface HealthApi {
  node(name: string, call?: CallOptions): Promise<Answer<readonly HealthCheck[]>>;
  checks(service: string, call?: CallOptions): Promise<Answer<readonly HealthCheck[]>>;
  service(name: string, query?: HealthQuery, call?: CallOptions): Promise<Answer<readonly ServiceInstance[]>>;
  /** Instances that accept mesh connections for a service. */
  connect(name: string, query?: HealthQuery, call?: CallOptions): Promise<Answer<readonly ServiceInstance[]>>;
  state(state: string, call?: CallOptions): Promise<Answer<readonly HealthCheck[]>>;
}

export interface HealthQuery {
  readonly passing?: boolean;
  readonly tags?: readonly string[];
}

export function createCatalogApi(transport: Transport): CatalogApi {
  const get = <T>(path: string, call: CallOptions = {}, query = {}): Promise<Answer<T>> =>
    transport.json<T>({ method: 'GET', path: `/v1/catalog/${path}`, query, call });
  return {
    datacenters: async (call) => (await get<readonly string[]>('datacenters', call)).value,
    nodes: (call) => get('nodes', call),
    services: (call) => get('services', call),
    service: (name, call, tags) => get(`service/${encodeURIComponent(name)}`, call, { tag: tags }),
    connect: (name, call) => get(`connect/${encodeURIComponent(name)}`, call),
    node: (name, call) => get(`node/${encodeURIComponent(name)}`, call),
    async addresses(service, { from, connect } = {}, call = {}) {
      const path = `/v1/internal/addresses/${encodeURIComponent(service)}`;
      const query = { ...(from ? { from } : {}), ...(connect === true ? { connect } : {}) };
      return (await transport.json<readonly InstanceAddress[]>({ method: 'GET', path, query, call })).value;
    },
    async register(registration, call = {}) {
      await transport.text({ method: 'PUT', path: '/v1/catalog/register', body: registration, call });
    },
    async deregister(registration, call = {}) {
      await transport.text({ method: 'PUT', path: '/v1/catalog/deregister', body: registration, call });
    },
  };
}

export function createHealthApi(transport: Transport): HealthApi {
  const get = <T>(path: string, call: CallOptions = {}, query = {}): Promise<Answer<T>> =>
    transport.json<T>({ method: 'GET', path: `/v1/health/${path}`, query, call });
  const instances =
    (kind: string) =>
    (name: string, query: HealthQuery = {}, call?: CallOptions) =>
      get<readonly ServiceInstance[]>(`${kind}/${encodeURIComponent(name)}`, call, {
        passing: query.passing,
        tag: query.tags,
      });
  return {
    node: (name, call) => get(`node/${encodeURIComponent(name)}`, call),
    checks: (service, call) => get(`checks/${encodeURIComponent(service)}`, call),
    service: instances('service'),
    connect: instances('connect'),
    state: (state, call) => get(`state/${encodeURIComponent(state)}`, call),
  };
}
