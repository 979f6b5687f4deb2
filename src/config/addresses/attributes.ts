import { BROADCAST, type IfAddress, LOOPBACK, MULTICAST, POINT_TO_POINT, UP } from './interfaces.ts';
import { formatIp, formatNetwork, formatValue, hostMask, type Ip, networkMask, networkOf, widthOf } from './ip.ts';

/** What `attr` and `join` can take of an address. */
export const ATTRIBUTES: Readonly<Record<string, (address: IfAddress) => string>> = {
  name: ({ name }) => name,
  flags: ({ flags }) => flagNames(flags).join('|'),
  string: ({ ip }) => formatNetwork(ip),
  type: ({ ip }) => `IPv${ip.family}`,
  address: ({ ip }) => formatIp(ip),
  host: ({ ip }) => formatIp(ip),
  port: () => '0',
  netmask: ({ ip }) => formatValue(ip.family, networkMask(ip)),
  network: ({ ip }) => formatValue(ip.family, networkOf(ip)),
  mask_bits: ({ ip }) => String(ip.bits),
  binary: ({ ip }) => ip.value.toString(2).padStart(widthOf(ip), '0'),
  hex: ({ ip }) => ip.value.toString(16).padStart(widthOf(ip) / 4, '0'),
  first_usable: ({ ip }) => formatValue(ip.family, networkOf(ip) + (hasEnds(ip) ? 1n : 0n)),
  last_usable: ({ ip }) => formatValue(ip.family, lastOf(ip) - (hasEnds(ip) ? 1n : 0n)),
  octets: ({ ip }) => octetsOf(ip).join(' '),
  size: ({ ip }) => String(hostMask(ip) + 1n),
  broadcast: ({ ip }) => (ip.family === 4 ? formatValue(4, lastOf(ip)) : ''),
  uint32: ({ ip }) => (ip.family === 4 ? String(ip.value) : ''),
  uint128: ({ ip }) => (ip.family === 6 ? String(ip.value) : ''),
};

/** Networks of IPv4 that lose their first address and their last one (broadcast). */
function hasEnds(ip: Ip): boolean {
  return ip.family === 4 && ip.bits < 31;
}

function lastOf(ip: Ip): bigint {
  return networkOf(ip) | hostMask(ip);
}

function octetsOf(ip: Ip): readonly string[] {
  const bytes = widthOf(ip) / 8;
  return Array.from({ length: bytes }, (_, at) => String((ip.value >> BigInt(8 * (bytes - 1 - at))) & 0xffn));
}

const FLAG_NAMES: readonly (readonly [number, string])[] = [
  [UP, 'up'],
  [BROADCAST, 'broadcast'],
  [LOOPBACK, 'loopback'],
  [POINT_TO_POINT, 'point-to-point'],
  [MULTICAST, 'multicast'],
];

function flagNames(flags: number): readonly string[] {
  return FLAG_NAMES.filter(([bit]) => (flags & bit) !== 0).map(([, name]) => name);
}
