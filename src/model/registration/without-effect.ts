import type { NodeService, Upstream } from '../catalog.ts';

type Given = Readonly<Partial<NodeService>> | undefined | null;
type Row = readonly [path: string, counts: boolean, why: string];

const NO_TRANSPARENT = 'applications reach their upstreams at a port or socket of the proxy';
const NO_EXTENSIONS = 'extensions are taken from service-defaults and proxy-defaults';

/**
 * Fields of a registration that Consul documents, that are kept and shown, and that nothing acts on yet: a sentence for
 * each that was given.
 */
export function registrationWarnings(service: Given): readonly string[] {
  if (service === undefined || service === null) return [];
  const proxy = service.Proxy;
  const rows: readonly Row[] = [
    ['SocketPath', given(service.SocketPath), 'sidecars and DNS use address and port'],
    ['Ports', (service.Ports ?? []).some(({ Default }) => !Default), 'the default port alone is used'],
    ['Locality', service.Locality !== undefined && service.Locality !== null, 'instances are not sorted by it'],
    ['Proxy.Mode', given(proxy?.Mode) && proxy?.Mode !== 'direct', NO_TRANSPARENT],
    ['Proxy.TransparentProxy', given(proxy?.TransparentProxy), NO_TRANSPARENT],
    ['Proxy.EnvoyExtensions', given(proxy?.EnvoyExtensions), NO_EXTENSIONS],
    ['Proxy.AccessLogs', given(proxy?.AccessLogs), 'access logs are set by proxy-defaults'],
    ['Proxy.LocalServicePorts', given(proxy?.LocalServicePorts), 'the proxy sends to LocalServicePort alone'],
    ['Proxy.LocalServiceSocketPath', given(proxy?.LocalServiceSocketPath), 'the proxy sends to LocalServicePort'],
    ['Proxy.Upstreams.DestinationPort', (proxy?.Upstreams ?? []).some(namesPort), 'the default port is reached'],
  ];
  return rows.filter(([, counts]) => counts).map(([path, , why]) => `${path} has no effect: ${why}`);
}

function namesPort({ DestinationPort }: Partial<Upstream>): boolean {
  return given(DestinationPort);
}

function given(value: unknown): boolean {
  if (typeof value === 'object' && value !== null) return Object.keys(value).length > 0;
  return value !== undefined && value !== null && value !== '';
}
