import type { CatalogNode, HealthCheck, NodeService } from '../../model/catalog.ts';
import type { NodeCoordinate } from '../../model/coordinate.ts';
import type { Store } from '../../store/store.ts';
import { joinKey, type Table } from '../../store/table.ts';

/** What is stored: the API types without their indexes, which are the row's revisions. */
export type NodeEntity = Omit<CatalogNode, 'CreateIndex' | 'ModifyIndex'>;
export type ServiceEntity = Omit<NodeService, 'CreateIndex' | 'ModifyIndex'> & { readonly Node: string };
export type CheckEntity = Omit<HealthCheck, 'CreateIndex' | 'ModifyIndex'>;

export interface CatalogTables {
  /** Indexes `id`: node ID; `address`. */
  readonly nodes: Table<NodeEntity>;
  /** Indexes `node`, `service`, `address`, `connect` (the service that it accepts mesh connections for). */
  readonly services: Table<ServiceEntity>;
  /**
   * Indexes `node`, `service`, `status`, `instance` (see {@link instanceKey}; '' as service ID: of the node itself).
   */
  readonly checks: Table<CheckEntity>;
  /** Index `node`. */
  readonly coordinates: Table<NodeCoordinate>;
}

/** Names are found without regard to case, as Consul does. */
export function fold(name: string): string {
  return name.toLowerCase();
}

export function nodeKey(node: string): string {
  return joinKey(fold(node));
}

/** Key of a service row and value of the index `instance`. */
export function instanceKey(node: string, serviceId: string): string {
  return joinKey(fold(node), fold(serviceId));
}

export function checkKey(node: string, checkId: string): string {
  return joinKey(fold(node), fold(checkId));
}

/** What a reader may wait for. Names are folded here. */
export const topic = {
  /** The node's own row and its services. */
  node: (node: string): string => `node:${fold(node)}`,
  nodeChecks: (node: string): string => `node-checks:${fold(node)}`,
  /** The instances of a service, with their nodes. */
  service: (service: string): string => `service:${fold(service)}`,
  /** All checks that count for an instance of the service, those of its node among them. */
  serviceHealth: (service: string): string => `service-health:${fold(service)}`,
  /** The checks registered for the service itself. */
  serviceChecks: (service: string): string => `service-checks:${fold(service)}`,
  /** Instances that accept mesh connections for the service. */
  connect: (service: string): string => `connect:${fold(service)}`,
  connectHealth: (service: string): string => `connect-health:${fold(service)}`,
  coordinate: (node: string): string => `coordinate:${fold(node)}`,
};

/** The service that an instance accepts mesh connections for; undefined when it accepts none. */
function connectTarget(service: Pick<ServiceEntity, 'Kind' | 'Service' | 'Proxy' | 'Connect'>): string | undefined {
  if (service.Kind === 'connect-proxy') return service.Proxy.DestinationServiceName;
  return service.Connect.Native === true ? service.Service : undefined;
}

export function createTables(store: Store): CatalogTables {
  const services = store.table<ServiceEntity>({
    name: 'services',
    key: (service) => instanceKey(service.Node, service.ID),
    indexes: {
      node: (service) => [fold(service.Node)],
      service: (service) => [fold(service.Service)],
      address: (service) => (service.Address === '' ? [] : [service.Address]),
      connect: (service) => {
        const target = connectTarget(service);
        return target === undefined ? [] : [fold(target)];
      },
    },
    topics: (service) => [topic.node(service.Node), ...listTopics(service)],
  });
  const servicesOn = (node: string): ServiceEntity[] => services.by('node', fold(node)).map((row) => row.value);
  const nodes = store.table<NodeEntity>({
    name: 'nodes',
    key: (node) => nodeKey(node.Node),
    indexes: {
      id: (node) => (node.ID === '' ? [] : [node.ID.toLowerCase()]),
      address: (node) => [node.Address],
    },
    topics: (node) => [topic.node(node.Node), ...servicesOn(node.Node).flatMap(listTopics)],
  });
  const checks = store.table<CheckEntity>({
    name: 'checks',
    key: (check) => checkKey(check.Node, check.CheckID),
    indexes: {
      node: (check) => [fold(check.Node)],
      service: (check) => (check.ServiceID === '' ? [] : [fold(check.ServiceName)]),
      status: (check) => [check.Status],
      instance: (check) => [instanceKey(check.Node, check.ServiceID)],
    },
    topics: (check) => {
      if (check.ServiceID === '')
        return [topic.nodeChecks(check.Node), ...servicesOn(check.Node).flatMap(healthTopics)];
      const service = services.get(instanceKey(check.Node, check.ServiceID))?.value;
      return [
        topic.nodeChecks(check.Node),
        topic.serviceChecks(check.ServiceName),
        ...(service === undefined ? [] : healthTopics(service)),
      ];
    },
  });
  const coordinates = store.table<NodeCoordinate>({
    name: 'coordinates',
    key: ({ Node, Segment }) => joinKey(fold(Node), fold(Segment)),
    indexes: { node: ({ Node }) => [fold(Node)] },
    topics: ({ Node }) => [topic.coordinate(Node)],
  });
  return { nodes, services, checks, coordinates };
}

function listTopics(service: ServiceEntity): string[] {
  const target = connectTarget(service);
  return target === undefined
    ? [topic.service(service.Service)]
    : [topic.service(service.Service), topic.connect(target)];
}

function healthTopics(service: ServiceEntity): string[] {
  const target = connectTarget(service);
  const own = topic.serviceHealth(service.Service);
  return target === undefined ? [own] : [own, topic.connectHealth(target)];
}
