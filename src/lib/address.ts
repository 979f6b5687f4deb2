import { isIPv6 } from 'node:net';
import { IsthmusError } from './errors.ts';

export interface HostPort {
  readonly address: string;
  readonly port: number;
}

/** `host:port` of what an operator wrote: "10.0.0.1", "server.example.com:8301", "[::1]:8301", "::1". */
export function parseAddress(text: string, defaultPort: number): string {
  const trimmed = text.trim();
  if (isIPv6(trimmed)) return `[${trimmed}]:${defaultPort}`;
  const match = /^(\[[0-9a-fA-F:.%]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?$/.exec(trimmed);
  const port = match?.[2] === undefined ? defaultPort : Number(match[2]);
  if (match === null || port < 1 || port > 65_535)
    throw new IsthmusError('invalid_argument', `${JSON.stringify(text)} is no address: write host or host:port`);
  return `${match[1]}:${port}`;
}

export function formatAddress({ address, port }: HostPort): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/** False for addresses that mean "any" or nothing: a server that advertises one can't be dialled. */
export function isDialable({ address, port }: HostPort): boolean {
  return address !== '' && address !== '0.0.0.0' && address !== '::' && port > 0;
}

const MAPPED = '::ffff:';

/** True for addresses of loopback, which nothing from another machine can have or reach. */
export function isLoopback(address: string): boolean {
  const plain = address.toLowerCase().startsWith(MAPPED) ? address.slice(MAPPED.length) : address;
  return plain.startsWith('127.') || plain === '::1';
}
