import { reachedAt } from '../../model/address.ts';
import type { QueryInstance } from '../../model/prepared-query.ts';
import type { SidecarEndpoint } from '../../model/sidecar.ts';
import type { ResolvedTarget, ResolvedUpstream } from '../../model/upstream.ts';

/**
 * What can be dialled of an upstream's targets, in their order; what is known of those that can't be reached comes
 * last. Instances are weighted as their worst check says; one in another datacenter is dialled at its WAN address.
 */
export function endpointsOf(upstream: ResolvedUpstream, ownDatacenter: string): readonly SidecarEndpoint[] {
  let made = MADE.get(upstream);
  if (made === undefined) {
    made = makeEndpoints(upstream, ownDatacenter);
    MADE.set(upstream, made);
  }
  return made;
}

/** Made once for all proxies that follow the same upstream: an agent is in one datacenter. */
const MADE = new WeakMap<ResolvedUpstream, readonly SidecarEndpoint[]>();

function makeEndpoints(upstream: ResolvedUpstream, ownDatacenter: string): readonly SidecarEndpoint[] {
  const { targets, connectTimeoutMs } = upstream;
  const timeout = connectTimeoutMs === undefined ? {} : { connectTimeoutMs };
  return [...targets.filter(({ reached }) => reached), ...targets.filter(({ reached }) => !reached)].flatMap((target) =>
    endpointsOfTarget(target, ownDatacenter).map((endpoint) => ({ ...endpoint, ...timeout })),
  );
}

/** What can be dialled of each target that is known, by its ID. */
export function endpointsByTarget(
  targets: readonly ResolvedTarget[],
  ownDatacenter: string,
): Readonly<Record<string, readonly SidecarEndpoint[]>> {
  return Object.fromEntries(
    targets.filter(({ known }) => known).map((target) => [target.id, endpointsOfTarget(target, ownDatacenter)]),
  );
}

function endpointsOfTarget(target: ResolvedTarget, ownDatacenter: string): readonly SidecarEndpoint[] {
  return target.instances.map((instance) => ({
    ...endpointOf(instance, target, ownDatacenter),
    target: target.id,
    ...(target.reached ? {} : { lastResort: true as const }),
  }));
}

function endpointOf(instance: QueryInstance, target: ResolvedTarget, ownDatacenter: string): SidecarEndpoint {
  const { Node, Service, Checks } = instance;
  const home = Node.Datacenter || target.datacenter;
  const { address, port } = reachedAt(Node, Service, home !== ownDatacenter);
  const warning = Checks?.some(({ Status }) => Status === 'warning') === true;
  return {
    id: `${home}/${Node.Node}/${Service.ID}`,
    address,
    port,
    service:
      Service.Proxy.DestinationServiceName || (Service.Connect.Native === true ? Service.Service : target.service),
    datacenter: home,
    weight: warning ? Service.Weights.Warning : Service.Weights.Passing,
  };
}
