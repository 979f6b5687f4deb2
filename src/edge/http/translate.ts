import { nodeAddress, serviceAt } from '../../model/address.ts';
import type { CatalogNode, CatalogService, NodeService } from '../../model/catalog.ts';
import type { QueryExecution } from '../../model/prepared-query.ts';
import type { ReadValue } from '../../rpc/contract/reads.ts';

/**
 * With `translate_wan_addrs` answers from another datacenter show the addresses that its nodes and services are reached
 * at from here in place of those that are good within it.
 */

function translateNode(node: CatalogNode): CatalogNode {
  return { ...node, Address: nodeAddress(node, true) };
}

function translateService<S extends Pick<NodeService, 'Address' | 'Port' | 'TaggedAddresses'>>(service: S): S {
  const { address, port } = serviceAt(service, true);
  return { ...service, Address: address, Port: port };
}

export function translateNodes(nodes: readonly CatalogNode[]): readonly CatalogNode[] {
  return nodes.map(translateNode);
}

export function translateInstances<I extends { readonly Node: CatalogNode; readonly Service: NodeService }>(
  instances: readonly I[],
): readonly I[] {
  return instances.map((instance) => ({
    ...instance,
    Node: translateNode(instance.Node),
    Service: translateService(instance.Service),
  }));
}

export function translateCatalogServices(services: readonly CatalogService[]): readonly CatalogService[] {
  return services.map((service) => {
    const { ServiceAddress: Address, ServicePort: Port, ServiceTaggedAddresses } = service;
    const own = {
      Address,
      Port,
      ...(ServiceTaggedAddresses === undefined ? {} : { TaggedAddresses: ServiceTaggedAddresses }),
    };
    const { address, port } = serviceAt(own, true);
    return { ...service, Address: nodeAddress(service, true), ServiceAddress: address, ServicePort: port };
  });
}

export function translateNodeWithServices(value: ReadValue<'catalog.node'>): ReadValue<'catalog.node'> {
  if (value === null) return null;
  const services = Object.entries(value.Services).map(([id, service]) => [id, translateService(service)] as const);
  return { Node: translateNode(value.Node), Services: Object.fromEntries(services) };
}

export function translateNodeServices(value: ReadValue<'catalog.nodeServices'>): ReadValue<'catalog.nodeServices'> {
  if (value === null) return null;
  return { Node: translateNode(value.Node), Services: value.Services.map(translateService) };
}

export function translateExecution(execution: QueryExecution): QueryExecution {
  return { ...execution, Nodes: translateInstances(execution.Nodes) };
}
