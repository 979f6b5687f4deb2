import type { Locality, NodeService, ProxyConfig, ServicePort, Upstream } from './catalog.ts';

/** A service as a caller gives it. */
export type GivenService = Readonly<Partial<NodeService>>;
/** A service as it is kept: without the indexes of a datacenter's catalog. */
export type ServiceForm = Omit<NodeService, 'CreateIndex' | 'ModifyIndex'>;

/**
 * Turns what a caller sent into what is stored: unknown fields dropped, defaults filled in, empty optional fields left
 * out, fields in the order of the API. The texts of refusals are Consul's.
 */

/** Several faults in one text, as Consul lists them. */
export function faultList(faults: readonly string[]): string {
  const head = faults.length === 1 ? '1 error occurred' : `${faults.length} errors occurred`;
  return `${head}:\n${faults.map((fault) => `\t* ${fault}\n`).join('')}\n`;
}

/** The service's ID: its name when none is given. */
export function serviceId(service: GivenService): string {
  return service.ID || service.Service || '';
}

/** What is wrong with a proxy's registration, in Consul's words; empty for every other service. */
export function proxyFaults(service: GivenService): readonly string[] {
  if (service.Kind !== 'connect-proxy') return [];
  const faults: string[] = [];
  const proxy = service.Proxy;
  const destination = proxy?.DestinationServiceName ?? '';
  if (destination === '') faults.push('Proxy.DestinationServiceName must be non-empty for Connect proxy services');
  if (destination === '*')
    faults.push('Proxy.DestinationServiceName must not be a wildcard for Connect proxy services');
  if ((service.Port ?? 0) === 0) faults.push('Port must be set for a Connect proxy');
  if (service.Connect?.Native === true) faults.push('A Proxy cannot also be Connect Native, only typical services');
  faults.push(...upstreamFaults(proxy?.Upstreams ?? []));
  return faults;
}

function upstreamFaults(upstreams: readonly Partial<Upstream>[]): string[] {
  const faults: string[] = [];
  const bound = new Set<string>();
  for (const upstream of upstreams) {
    const name = upstream.DestinationName ?? '';
    if (name === '') faults.push('upstream destination name cannot be empty');
    if (name === '*') faults.push('upstream destination name cannot be a wildcard');
    const socket = upstream.LocalBindSocketPath ?? '';
    if ((upstream.LocalBindPort ?? 0) === 0 && socket === '') faults.push('upstream local bind port cannot be zero');
    if (socket !== '' && ((upstream.LocalBindPort ?? 0) !== 0 || (upstream.LocalBindAddress ?? '') !== ''))
      faults.push('only one of local bind address/port or local bind socket path may be given for an upstream');
    if (!/^(?:[0-7]{3,4})?$/.test(upstream.LocalBindSocketMode ?? ''))
      faults.push('upstream local bind socket mode must be octal, such as 0600');
    const type = upstream.DestinationType ?? '';
    if (type !== '' && type !== 'service' && type !== 'prepared_query')
      faults.push(`unknown upstream destination type: ${JSON.stringify(type)}`);
    const address = socket || `${upstream.LocalBindAddress || '127.0.0.1'}:${upstream.LocalBindPort ?? 0}`;
    if (bound.has(address))
      faults.push(
        `upstreams cannot contain duplicates by local bind address and port; ${JSON.stringify(address)} is ` +
          `specified twice`,
      );
    bound.add(address);
  }
  return faults;
}

const MAX_PORT = 65_535;

/** Ports of a service that can't be; 0 is one that was not given. */
export function portFaults(service: {
  readonly Port?: number | undefined;
  readonly Ports?: readonly Partial<ServicePort>[] | null | undefined;
  readonly TaggedAddresses?: Readonly<Record<string, { readonly Port?: number | undefined }>> | null | undefined;
  readonly Proxy?:
    | {
        readonly LocalServicePort?: number | undefined;
        readonly LocalServicePorts?: readonly Partial<ServicePort>[] | null | undefined;
        readonly Upstreams?: readonly { readonly LocalBindPort?: number | undefined }[] | null | undefined;
      }
    | undefined;
}): readonly string[] {
  const { Port, Ports, TaggedAddresses, Proxy: proxy } = service;
  const ports = [
    Port,
    ...(Ports ?? []).map((named) => named.Port),
    ...(proxy?.LocalServicePorts ?? []).map((named) => named.Port),
    ...Object.values(TaggedAddresses ?? {}).map((tagged) => tagged.Port),
    proxy?.LocalServicePort,
    ...(proxy?.Upstreams ?? []).map((upstream) => upstream.LocalBindPort),
  ];
  const outside = ports
    .filter((port) => port !== undefined && (port < 0 || port > MAX_PORT))
    .map((port) => `Invalid port ${port}: must be from 0 to ${MAX_PORT}`);
  return [...outside, ...portListFaults(Ports), ...portListFaults(proxy?.LocalServicePorts)];
}

/** What is wrong with a list of several ports, in Consul's words. */
function portListFaults(ports: readonly Partial<ServicePort>[] | undefined | null): readonly string[] {
  if (ports === undefined || ports === null || ports.length === 0) return [];
  const names = new Set<string>();
  for (const { Name = '', Port = 0 } of ports) {
    if (Name.trim() === '') return ['Ports.Name cannot be empty'];
    if (Port <= 0) return ['Ports.Port must be non-zero'];
    if (names.has(Name)) return [`Ports.Name ${JSON.stringify(Name)} has to be unique`];
    names.add(Name);
  }
  const defaults = ports.filter(({ Default }) => Default === true).length;
  if (defaults > 1) return ['only one port can be marked as default'];
  return defaults === 0 ? ['one of the Ports must be marked as Default'] : [];
}

export function isAnyAddress(address: string): boolean {
  return address === '0.0.0.0' || address === '::' || address === '[::]';
}

export function normalizeService(service: GivenService): ServiceForm {
  const { TaggedAddresses, SocketPath } = service;
  const ports = normalizePorts(service.Ports);
  const locality = normalizeLocality(service.Locality);
  return {
    ...(service.Kind ? { Kind: service.Kind } : undefined),
    ID: serviceId(service),
    Service: service.Service ?? '',
    Tags: service.Tags ?? null,
    Address: service.Address ?? '',
    ...(TaggedAddresses && Object.keys(TaggedAddresses).length > 0
      ? {
          TaggedAddresses: Object.fromEntries(
            Object.entries(TaggedAddresses).map(([name, { Address, Port }]) => [
              name,
              { Address: Address ?? '', Port: Port ?? 0 },
            ]),
          ),
        }
      : undefined),
    Meta: service.Meta ?? null,
    Port: service.Port || (ports?.find(({ Default }) => Default)?.Port ?? 0),
    ...(ports === undefined ? undefined : { Ports: ports }),
    ...(SocketPath ? { SocketPath } : undefined),
    Weights: normalizeWeights(service.Weights),
    EnableTagOverride: service.EnableTagOverride ?? false,
    Proxy: normalizeProxy(service.Proxy),
    Connect: service.Connect?.Native === true ? { Native: true } : {},
    ...(locality === undefined ? undefined : { Locality: locality }),
  };
}

/** Undefined when it says nothing. */
export function normalizeLocality(locality: Partial<Locality> | undefined | null): Locality | undefined {
  const { Region = '', Zone = '' } = locality ?? {};
  return Region === '' && Zone === '' ? undefined : { Region, Zone };
}

function normalizePorts(ports: readonly Partial<ServicePort>[] | undefined | null): readonly ServicePort[] | undefined {
  if (ports === undefined || ports === null || ports.length === 0) return undefined;
  return ports.map(({ Name = '', Port = 0, Default = false }) => ({ Name, Port, Default }));
}

/** Consul replaces weights that make no sense, rather than refuse them, where it takes them from the catalog. */
function normalizeWeights(weights: Partial<NodeService['Weights']> | undefined): NodeService['Weights'] {
  return weights === undefined || weights === null
    ? { Passing: 1, Warning: 1 }
    : { Passing: weights.Passing ?? 0, Warning: weights.Warning ?? 0 };
}

function normalizeProxy(proxy: Partial<ProxyConfig> | undefined | null): ProxyConfig {
  if (proxy === undefined || proxy === null) return { MeshGateway: {}, Expose: {} };
  const ports = normalizePorts(proxy.LocalServicePorts);
  return {
    ...(proxy.EnvoyExtensions && proxy.EnvoyExtensions.length > 0
      ? { EnvoyExtensions: proxy.EnvoyExtensions }
      : undefined),
    ...(proxy.DestinationServiceName ? { DestinationServiceName: proxy.DestinationServiceName } : undefined),
    ...(proxy.DestinationServiceID ? { DestinationServiceID: proxy.DestinationServiceID } : undefined),
    ...(proxy.LocalServiceAddress ? { LocalServiceAddress: proxy.LocalServiceAddress } : undefined),
    ...(proxy.LocalServicePort ? { LocalServicePort: proxy.LocalServicePort } : undefined),
    ...(ports === undefined ? undefined : { LocalServicePorts: ports }),
    ...(proxy.LocalServiceSocketPath ? { LocalServiceSocketPath: proxy.LocalServiceSocketPath } : undefined),
    ...(proxy.Mode ? { Mode: proxy.Mode } : undefined),
    ...(isFilled(proxy.TransparentProxy) ? { TransparentProxy: proxy.TransparentProxy } : undefined),
    ...(proxy.Config && Object.keys(proxy.Config).length > 0 ? { Config: proxy.Config } : undefined),
    ...(proxy.Upstreams && proxy.Upstreams.length > 0
      ? { Upstreams: proxy.Upstreams.map(normalizeUpstream) }
      : undefined),
    MeshGateway: meshGateway(proxy.MeshGateway),
    Expose: proxy.Expose ?? {},
    ...(isFilled(proxy.AccessLogs) ? { AccessLogs: proxy.AccessLogs } : undefined),
  };
}

function isFilled<T extends object>(value: T | undefined | null): value is T {
  return value !== undefined && value !== null && Object.keys(value).length > 0;
}

function normalizeUpstream(upstream: Partial<Upstream>): Upstream {
  return {
    DestinationType: upstream.DestinationType ?? '',
    ...(upstream.DestinationNamespace ? { DestinationNamespace: upstream.DestinationNamespace } : undefined),
    DestinationName: upstream.DestinationName ?? '',
    ...(upstream.DestinationPort ? { DestinationPort: upstream.DestinationPort } : undefined),
    ...(upstream.Datacenter ? { Datacenter: upstream.Datacenter } : undefined),
    ...(upstream.LocalBindAddress ? { LocalBindAddress: upstream.LocalBindAddress } : undefined),
    ...(upstream.LocalBindPort ? { LocalBindPort: upstream.LocalBindPort } : undefined),
    ...(upstream.LocalBindSocketPath ? { LocalBindSocketPath: upstream.LocalBindSocketPath } : undefined),
    ...(upstream.LocalBindSocketMode ? { LocalBindSocketMode: upstream.LocalBindSocketMode } : undefined),
    ...(upstream.Config && Object.keys(upstream.Config).length > 0 ? { Config: upstream.Config } : undefined),
    MeshGateway: meshGateway(upstream.MeshGateway),
    ...(upstream.CentrallyConfigured ? { CentrallyConfigured: true } : undefined),
  };
}

function meshGateway(gateway: Readonly<Record<string, unknown>> | undefined | null): Readonly<Record<string, unknown>> {
  return gateway?.Mode ? { Mode: gateway.Mode } : {};
}
