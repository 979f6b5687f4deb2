import type { DefaultAddresses } from '../../../model/address.ts';
import type { NodeService, Upstream } from '../../../model/catalog.ts';
import type { ExposedPath, SidecarConfig, SidecarUpstream } from '../../../model/sidecar.ts';
import type { CentralConfig } from './central-config.ts';
import { exposedPaths } from './exposed-paths.ts';

/** Where a proxy runs. */
export interface Whereabouts {
  readonly datacenter: string;
  readonly node: string;
  readonly registered: boolean;
  readonly addresses: DefaultAddresses;
  /** What it serves for checks. */
  readonly exposedChecks?: () => readonly ExposedPath[];
}

/**
 * The sidecar's configuration from its registration.
 * @param where where it runs; the listeners of a proxy that is not registered are its own affair.
 */
export function sidecarConfig(
  proxy: NodeService,
  { datacenter, node, registered, addresses, exposedChecks = () => [] }: Whereabouts,
  central: CentralConfig,
): SidecarConfig {
  const { Proxy: settings } = proxy;
  const config = { ...central.proxy, ...settings.Config };
  const address = textOf(config.bind_address) ?? (proxy.Address || addresses.any);
  const port = numberOf(config.bind_port) ?? proxy.Port;
  const paths = exposedPaths([settings.Expose, ...central.expose], settings.LocalServicePort ?? 0);
  const exposed = [...paths, ...exposedChecks()];
  return {
    proxyId: proxy.ID,
    service: settings.DestinationServiceName ?? '',
    datacenter,
    node,
    ...(registered ? { listen: { address, port } } : {}),
    ...(settings.LocalServicePort
      ? { local: { address: settings.LocalServiceAddress || addresses.loopback, port: settings.LocalServicePort } }
      : {}),
    upstreams: (settings.Upstreams ?? []).map((upstream) => sidecarUpstream(upstream, datacenter, addresses, central)),
    ...(registered && exposed.length > 0 ? { exposed } : {}),
    ...(central.accessLogs === undefined ? {} : { accessLogs: central.accessLogs }),
    config,
  };
}

/** What the service behind the proxy speaks: `tcp` when nothing is said. */
export function protocolOf({ config }: SidecarConfig): string {
  return textOf(config.protocol)?.toLowerCase() ?? 'tcp';
}

/** Upstreams that ask for a mesh gateway, with the mode. */
export function gatewayModes({ Proxy: proxy }: NodeService): readonly (readonly [string, string])[] {
  return (proxy.Upstreams ?? []).flatMap(({ DestinationName, MeshGateway }) => {
    const mode = textOf(MeshGateway.Mode) ?? textOf(proxy.MeshGateway.Mode) ?? '';
    return mode === '' || mode === 'none' ? [] : [[DestinationName, mode] as const];
  });
}

function sidecarUpstream(
  upstream: Upstream,
  ownDatacenter: string,
  addresses: DefaultAddresses,
  central: CentralConfig,
): SidecarUpstream {
  const type = upstream.DestinationType || 'service';
  const datacenter = upstream.Datacenter || ownDatacenter;
  const bindPort = upstream.LocalBindPort ?? 0;
  const { LocalBindSocketPath: path, LocalBindSocketMode: mode } = upstream;
  return {
    key: `${type}:${upstream.DestinationName}@${datacenter}:${path ?? bindPort}`,
    type,
    name: upstream.DestinationName,
    datacenter,
    bindAddress: upstream.LocalBindAddress || addresses.loopback,
    bindPort,
    ...(path === undefined ? {} : { bindSocketPath: path }),
    ...(mode === undefined ? {} : { bindSocketMode: mode }),
    config: { ...(type === 'service' ? central.upstream(upstream.DestinationName) : {}), ...upstream.Config },
  };
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function numberOf(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isInteger(value) ? value : undefined;
}
