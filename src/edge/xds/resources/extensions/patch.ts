import type { ConnectProxySnapshot } from '../../../../agent/proxycfg/snapshot.ts';
import type { Direction } from '../../../../model/envoy-extensions/extensions.ts';
import type { Cluster } from '../../gen/envoy/config/cluster/v3/cluster_pb.ts';
import type { ClusterLoadAssignment } from '../../gen/envoy/config/endpoint/v3/endpoint_pb.ts';
import type { Filter } from '../../gen/envoy/config/listener/v3/listener_components_pb.ts';
import type { Listener } from '../../gen/envoy/config/listener/v3/listener_pb.ts';
import type { RouteConfiguration } from '../../gen/envoy/config/route/v3/route_pb.ts';
import type { HttpFilter } from '../../gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts';
import { changedManager } from '../http/connection-manager.ts';

/** What a resource is about. */
export interface About {
  readonly direction: Direction;
  /** Of an upstream: its name, and that of what it leads to. */
  readonly services: readonly string[];
}

/**
 * Where an extension changes what an Envoy is given. Each changes the message that it gets; it throws what is wrong.
 */
export interface ResourcePatch {
  listener?(listener: Listener, about: About): void;
  cluster?(cluster: Cluster, about: About): void;
  endpoints?(endpoints: ClusterLoadAssignment, about: About): void;
  route?(routes: RouteConfiguration, about: About): void;
  /** Beside those that are there. */
  readonly clusters?: readonly Cluster[];
}

/** What extensions need to know of the proxy. */
export interface PatchContext {
  readonly snapshot: ConnectProxySnapshot;
  /** The cluster of an upstream; throws when the proxy has none of this name. */
  clusterOf(service: string): string;
}

/** Changes all filters of a listener. */
export function eachChain(listener: Listener, change: (filters: readonly Filter[]) => Filter[]): void {
  const chains = [...listener.filterChains, ...(listener.defaultFilterChain ? [listener.defaultFilterChain] : [])];
  for (const chain of chains) chain.filters = change(chain.filters);
}

const ROUTER = 'envoy.filters.http.router';

/** In front of the filter that sends requests on: behind the rules, which nothing gets past. */
export function insertBeforeRouter(listener: Listener, filter: HttpFilter): void {
  eachChain(listener, (filters) =>
    filters.map((each) =>
      changedManager(each, (manager) => {
        const at = manager.httpFilters.findIndex(({ name }) => name === ROUTER);
        manager.httpFilters.splice(at === -1 ? manager.httpFilters.length : at, 0, filter);
      }),
    ),
  );
}
