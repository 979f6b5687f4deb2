import { reachedAt } from '../../model/address.ts';
import type { ServiceInstance } from '../../model/catalog.ts';
import type { QueryExecution, QueryInstance } from '../../model/prepared-query.ts';
import type { SidecarEndpoint } from '../../model/sidecar.ts';

/**
 * What can be dialled of a health answer: instances without a critical check, weighted as their worst check says. An
 * instance in another datacenter is dialled at its WAN address.
 */
export function endpointsOf(
  instances: readonly ServiceInstance[],
  service: string,
  datacenter: string,
  ownDatacenter: string,
): readonly SidecarEndpoint[] {
  return instances
    .filter(({ Checks }) => Checks.every(({ Status }) => Status !== 'critical'))
    .map((instance) => endpointOf(instance, service, datacenter, ownDatacenter));
}

/** What can be dialled of a query's answer: all of it, the query has decided which checks count. */
export function queryEndpoints(execution: QueryExecution, ownDatacenter: string): readonly SidecarEndpoint[] {
  const { Nodes, Service, Datacenter } = execution;
  return Nodes.map((instance) => endpointOf(instance, Service, Datacenter, ownDatacenter));
}

function endpointOf(
  instance: QueryInstance,
  service: string,
  datacenter: string,
  ownDatacenter: string,
): SidecarEndpoint {
  const { Node, Service, Checks } = instance;
  const home = Node.Datacenter || datacenter;
  const { address, port } = reachedAt(Node, Service, home !== ownDatacenter);
  const warning = Checks?.some(({ Status }) => Status === 'warning') === true;
  return {
    id: `${home}/${Node.Node}/${Service.ID}`,
    address,
    port,
    service: Service.Proxy.DestinationServiceName || (Service.Connect.Native === true ? Service.Service : service),
    datacenter: home,
    weight: warning ? Service.Weights.Warning : Service.Weights.Passing,
  };
}
