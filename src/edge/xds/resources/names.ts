import { createHash } from 'node:crypto';
import type { SidecarUpstream } from '../../../model/sidecar.ts';

/** Names as Consul writes them, which users' dashboards know. */

export const LEAF = 'leaf';
export const ROOTS = 'roots';
/** The rules about connections to the service behind the sidecar. */
export const NETWORK_RULES = 'inbound-network-rules';
/** The cluster of the application behind the sidecar. */
export const LOCAL_APP = 'local_app';
export const PUBLIC_LISTENER = 'public_listener';

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
  const options = Object.entries(upstream.config).sort(([a], [b]) => (a < b ? -1 : 1));
  if (options.length === 0) return name;
  return `${createHash('sha256').update(JSON.stringify(options)).digest('hex').slice(0, 8)}~${name}`;
}
