import { createHash } from 'node:crypto';
import type { SidecarUpstream } from '../../../model/sidecar.ts';

/** Names as Consul writes them, which users' dashboards know. */

export const LEAF = 'leaf';
export const ROOTS = 'roots';
/** The rules about connections to the service behind the sidecar. */
export const NETWORK_RULES = 'inbound-network-rules';
/** The rules about requests to it, and the tokens that they ask for. */
export const REQUEST_RULES = 'inbound-request-rules';
export const REQUEST_TOKENS = 'inbound-request-tokens';
/** How requests to it are sent on. */
export const INBOUND_ROUTES = 'inbound';
/** The cluster of the application behind the sidecar. */
export const LOCAL_APP = 'local_app';
export const PUBLIC_LISTENER = 'public_listener';
/** The listener inside of Envoy in which callers are kept apart, and the way there. */
export const CALLERS = 'inbound_callers';

/** Server name by which a service is asked for, also through gateways. */
export function serviceSni(service: string, datacenter: string, trustDomain: string): string {
  return `${service}.default.${datacenter}.internal.${trustDomain}`;
}

/** What an upstream's cluster is called in statistics, however many clusters lead there. */
export function upstreamName(upstream: SidecarUpstream, trustDomain: string): string {
  const { type, name, datacenter } = upstream;
  return type === 'service'
    ? serviceSni(name, datacenter, trustDomain)
    : `${name}.default.${datacenter}.query.${trustDomain}`;
}

/** Two upstreams that lead to the same service with the same options share a cluster. */
export function clusterName(upstream: SidecarUpstream, trustDomain: string): string {
  const name = upstreamName(upstream, trustDomain);
  const options = optionsOf(upstream);
  return options.length === 0 ? name : `${shortHash(options)}~${name}`;
}

/** The cluster of one destination of an upstream's requests: two upstreams never share one. */
export function destinationName(upstream: SidecarUpstream, id: string, trustDomain: string): string {
  const { name, datacenter } = upstream;
  return `${shortHash([name, datacenter, optionsOf(upstream)])}~${statName(id, trustDomain)}`;
}

/** @param id of a target: `[subset.]service.namespace.datacenter` */
export function statName(id: string, trustDomain: string): string {
  return `${id}.internal.${trustDomain}`;
}

/** The routes of an upstream's requests. */
export function routesName(upstream: SidecarUpstream, trustDomain: string): string {
  return clusterName(upstream, trustDomain);
}

function optionsOf({ config }: SidecarUpstream): readonly unknown[] {
  return Object.entries(config).sort(([a], [b]) => (a < b ? -1 : 1));
}

export function shortHash(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('hex').slice(0, 8);
}
