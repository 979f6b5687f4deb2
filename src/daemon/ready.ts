import type { RuntimeConfig } from '../config/types.ts';
import type { HttpAddress } from '../edge/http/listen.ts';
import type { XdsAddress } from '../edge/xds/listener.ts';
import { formatAddress } from '../federation/address.ts';
import type { BoundAddress } from '../rpc/transport/listener.ts';

/** Where a started agent is reached; absent where a listener is off. */
export interface ReadyAddresses {
  readonly node: string;
  readonly datacenter: string;
  readonly http?: string;
  readonly https?: string;
  readonly dns?: string;
  readonly grpc?: string;
  readonly grpc_tls?: string;
  readonly server?: string;
  readonly serf_lan?: string;
  readonly serf_wan?: string;
  readonly pid: number;
}

export function readyAddresses(
  config: RuntimeConfig,
  rpc: Readonly<Record<string, BoundAddress>>,
  http: readonly HttpAddress[],
  dns: readonly { readonly host: string; readonly port: number }[],
  xds: readonly XdsAddress[],
): ReadyAddresses {
  const of = (name: string): string | undefined => {
    const bound = rpc[name];
    return bound === undefined ? undefined : formatAddress(bound);
  };
  const api = (kind: HttpAddress['kind']): string | undefined => {
    const bound = http.find((address) => address.kind === kind);
    return bound === undefined ? undefined : formatAddress({ address: bound.host, port: bound.port });
  };
  const grpc = (name: XdsAddress['name']): string | undefined => {
    const bound = xds.find((address) => address.name === name);
    if (bound === undefined) return undefined;
    return bound.port === 0 ? `unix://${bound.host}` : formatAddress({ address: bound.host, port: bound.port });
  };
  const addresses = {
    http: api('http'),
    https: api('https'),
    dns: dns[0] === undefined ? undefined : formatAddress({ address: dns[0].host, port: dns[0].port }),
    grpc: grpc('grpc'),
    grpc_tls: grpc('grpc_tls'),
    server: of('server'),
    serf_lan: of('serf_lan'),
    serf_wan: of('serf_wan'),
  };
  const open = Object.fromEntries(Object.entries(addresses).filter(([, address]) => address !== undefined));
  return { node: config.nodeName, datacenter: config.datacenter, ...open, pid: process.pid };
}

/** The one line on standard output that says that the agent works. */
export function readyLine(addresses: ReadyAddresses): string {
  return `==> Isthmus agent ready: ${JSON.stringify(addresses)}\n`;
}
