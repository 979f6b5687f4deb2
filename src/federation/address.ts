import { isIPv6 } from 'node:net';
import { IsthmusError } from '../lib/errors.ts';

export interface WanAddress {
  readonly address: string;
  readonly port: number;
}

/** Where datacenters knock when an address names no port. */
const DEFAULT_WAN_PORT = 8302;

/** `host:port` of what an operator wrote: "10.0.0.1", "dc2.example.com:8302", "[::1]:8302", "::1". */
export function parseWanAddress(text: string): string {
  const trimmed = text.trim();
  if (isIPv6(trimmed)) return `[${trimmed}]:${DEFAULT_WAN_PORT}`;
  const match = /^(\[[0-9a-fA-F:.%]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?$/.exec(trimmed);
  const port = match?.[2] === undefined ? DEFAULT_WAN_PORT : Number(match[2]);
  if (match === null || port < 1 || port > 65_535)
    throw new IsthmusError('invalid_argument', `${JSON.stringify(text)} is no address: write host or host:port`);
  return `${match[1]}:${port}`;
}

/** False for what a peer must not make us dial: anything but host:port. */
export function isWanAddress(text: string): boolean {
  try {
    return parseWanAddress(text) === text;
  } catch {
    return false;
  }
}

export function formatAddress({ address, port }: WanAddress): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/** False for addresses that mean "any" or nothing: a server that advertises one can't be dialled. */
export function isDialable({ address, port }: WanAddress): boolean {
  return address !== '' && address !== '0.0.0.0' && address !== '::' && port > 0;
}
