import type { ServiceInstance } from '../../model/catalog.ts';
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
  const endpoints: SidecarEndpoint[] = [];
  for (const instance of instances) {
    const weight = weightOf(instance);
    if (weight === undefined) continue;
    const { Node, Service } = instance;
    const home = Node.Datacenter || datacenter;
    endpoints.push({
      id: `${home}/${Node.Node}/${Service.ID}`,
      ...addressOf(instance, home !== ownDatacenter),
      service: Service.Proxy.DestinationServiceName || (Service.Connect.Native === true ? Service.Service : service),
      datacenter: home,
      weight,
    });
  }
  return endpoints;
}

function weightOf({ Checks, Service }: ServiceInstance): number | undefined {
  let warning = false;
  for (const { Status } of Checks) {
    if (Status === 'critical') return undefined;
    if (Status === 'warning') warning = true;
  }
  return warning ? Service.Weights.Warning : Service.Weights.Passing;
}

/** The service's own address goes before its node's, for each of LAN and WAN. */
function addressOf({ Node, Service }: ServiceInstance, wan: boolean): { address: string; port: number } {
  const serviceWan = wan ? Service.TaggedAddresses?.wan : undefined;
  const nodeAddress = (wan ? Node.TaggedAddresses?.wan : undefined) || Node.Address;
  return {
    address: serviceWan?.Address || Service.Address || nodeAddress,
    port: serviceWan?.Port || Service.Port,
  };
}
