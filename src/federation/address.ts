import { type HostPort, parseAddress } from '../lib/address.ts';

export { formatAddress, isDialable } from '../lib/address.ts';

export type WanAddress = HostPort;

/** `ports.serf_wan`, when an address names no port. */
export const DEFAULT_WAN_PORT = 8302;

/** `host:port` of what an operator wrote for another datacenter. */
export function parseWanAddress(text: string): string {
  return parseAddress(text, DEFAULT_WAN_PORT);
}

/** False for what a peer must not make us dial: anything but host:port. */
export function isWanAddress(text: string): boolean {
  try {
    return parseWanAddress(text) === text;
  } catch {
    return false;
  }
}
