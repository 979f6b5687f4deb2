import { IsthmusError } from '../../lib/errors.ts';
import type { NodeService, Upstream } from '../../model/catalog.ts';
import type { SidecarConfig, SidecarUpstream } from '../../model/sidecar.ts';
import type { LocalServices } from './local-services.ts';

/** Which proxy a sidecar is: a registered one, the one beside a service, or one that is described right here. */
export type ProxyRequest =
  | { readonly kind: 'registered'; readonly proxyId: string; readonly token?: string }
  | { readonly kind: 'sidecar-for'; readonly serviceId: string; readonly token?: string }
  | {
      readonly kind: 'standalone';
      readonly service: string;
      /** `name[.datacenter]:port`, as on the command line. */
      readonly upstreams: readonly string[];
      readonly token?: string;
    };

export interface Whereabouts {
  readonly datacenter: string;
  readonly node: string;
}

/** ID of the registered proxy that a request means; throws with what to do when there is none. */
export function proxyIdOf(request: Exclude<ProxyRequest, { kind: 'standalone' }>, local: LocalServices): string {
  if (request.kind === 'registered') return request.proxyId;
  const { serviceId } = request;
  const ids = local
    .list()
    .filter((service) => isProxy(service) && service.Proxy.DestinationServiceID === serviceId)
    .map((service) => service.ID);
  if (ids.length > 1)
    throw new IsthmusError(
      'rejected',
      `More than one sidecar proxy registered for ${serviceId}. Start proxy with -proxy-id and one of the following IDs: ${ids.sort().join(', ')}`,
    );
  const [id] = ids;
  if (id === undefined) throw new IsthmusError('not_found', `No sidecar proxy registered for ${serviceId}`);
  return id;
}

/** The sidecar's configuration from its registration. Throws when the proxy is not, or no longer, registered. */
export function registeredConfig(
  proxyId: string,
  local: LocalServices,
  where: Whereabouts,
  defaults: Readonly<Record<string, unknown>>,
): SidecarConfig {
  const proxy = local.get(proxyId);
  if (proxy === undefined || !isProxy(proxy))
    throw new IsthmusError('not_found', `No proxy with ID ${JSON.stringify(proxyId)} is registered with this agent`);
  const { Proxy: settings } = proxy;
  const config = { ...defaults, ...settings.Config };
  const address = textOf(config.bind_address) ?? (proxy.Address || '0.0.0.0');
  const port = numberOf(config.bind_port) ?? proxy.Port;
  return {
    proxyId,
    service: settings.DestinationServiceName ?? '',
    ...where,
    listen: { address, port },
    ...(settings.LocalServicePort
      ? { local: { address: settings.LocalServiceAddress || '127.0.0.1', port: settings.LocalServicePort } }
      : {}),
    upstreams: (settings.Upstreams ?? []).map((upstream) => sidecarUpstream(upstream, where.datacenter)),
    config,
  };
}

/** Upstreams of a registered proxy that ask for a mesh gateway, with the mode. */
export function gatewayModes(proxyId: string, local: LocalServices): readonly (readonly [string, string])[] {
  const proxy = local.get(proxyId)?.Proxy;
  return (proxy?.Upstreams ?? []).flatMap(({ DestinationName, MeshGateway }) => {
    const mode = textOf(MeshGateway.Mode) ?? textOf(proxy?.MeshGateway.Mode) ?? '';
    return mode === '' || mode === 'none' ? [] : [[DestinationName, mode] as const];
  });
}

/** A proxy that nobody registered: its listeners are the sidecar's own affair. */
export function standaloneConfig(
  request: Extract<ProxyRequest, { kind: 'standalone' }>,
  where: Whereabouts,
  defaults: Readonly<Record<string, unknown>>,
): SidecarConfig {
  const { service } = request;
  if (service === '') throw new IsthmusError('invalid_argument', 'a standalone proxy must name its service');
  return {
    proxyId: `${service}-standalone`,
    service,
    ...where,
    upstreams: request.upstreams.map((text) => sidecarUpstream(parseUpstream(text), where.datacenter)),
    config: defaults,
  };
}

/** `name[.datacenter]:port` */
function parseUpstream(text: string): Upstream {
  const match = /^([^.:]+)(?:\.([^.:]+))?:(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535)
    throw new IsthmusError(
      'invalid_argument',
      `upstream ${JSON.stringify(text)} must be NAME:PORT or NAME.DATACENTER:PORT`,
    );
  return {
    DestinationType: 'service',
    DestinationName: match[1] as string,
    ...(match[2] === undefined ? {} : { Datacenter: match[2] }),
    LocalBindPort: port,
    MeshGateway: {},
  };
}

function sidecarUpstream(upstream: Upstream, ownDatacenter: string): SidecarUpstream {
  const type = upstream.DestinationType || 'service';
  const datacenter = upstream.Datacenter || ownDatacenter;
  const bindPort = upstream.LocalBindPort ?? 0;
  return {
    key: `${type}:${upstream.DestinationName}@${datacenter}:${bindPort}`,
    type,
    name: upstream.DestinationName,
    datacenter,
    bindAddress: upstream.LocalBindAddress || '127.0.0.1',
    bindPort,
    config: upstream.Config ?? {},
  };
}

function isProxy(service: NodeService): boolean {
  return service.Kind === 'connect-proxy';
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function numberOf(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isInteger(value) ? value : undefined;
}
