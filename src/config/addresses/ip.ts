import { isIPv4, isIPv6 } from 'node:net';

/** An IP address in its network. */
export interface Ip {
  readonly family: 4 | 6;
  readonly value: bigint;
  /** Length of the network's prefix in bits. */
  readonly bits: number;
}

const WIDTH = { 4: 32, 6: 128 } as const;

export function widthOf({ family }: Pick<Ip, 'family'>): number {
  return WIDTH[family];
}

/** `10.0.0.1/8`, `fd00::1`; a bare address is a network of its own. Undefined for what is none. */
export function parseIp(text: string): Ip | undefined {
  const [address = '', length, ...rest] = text.split('/');
  const family = isIPv4(address) ? 4 : isIPv6(address) ? 6 : undefined;
  if (family === undefined || rest.length > 0) return undefined;
  if (length !== undefined && !/^[0-9]{1,3}$/.test(length)) return undefined;
  const bits = length === undefined ? WIDTH[family] : Number(length);
  if (bits > WIDTH[family]) return undefined;
  const value = family === 4 ? valueOf4(address) : valueOf6(address);
  return { family, value, bits };
}

function valueOf4(address: string): bigint {
  return address.split('.').reduce((value, part) => (value << 8n) | BigInt(part), 0n);
}

function valueOf6(address: string): bigint {
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(address.split('%')[0] as string);
  const text = dotted === null ? (address.split('%')[0] as string) : `${dotted[1]}${lastGroups(dotted[2] as string)}`;
  const [head = '', tail] = text.split('::');
  const groups = (part: string): string[] => (part === '' ? [] : part.split(':'));
  const before = groups(head);
  const after = tail === undefined ? [] : groups(tail);
  const missing = tail === undefined ? 0 : 8 - before.length - after.length;
  const all = [...before, ...Array.from({ length: missing }, () => '0'), ...after];
  return all.reduce((value, group) => (value << 16n) | BigInt(`0x${group}`), 0n);
}

function lastGroups(dotted: string): string {
  const value = valueOf4(dotted);
  return `${(value >> 16n).toString(16)}:${(value & 0xffffn).toString(16)}`;
}

/** As RFC 5952 writes it. */
export function formatValue(family: 4 | 6, value: bigint): string {
  if (family === 4) return [24n, 16n, 8n, 0n].map((shift) => String((value >> shift) & 0xffn)).join('.');
  const groups = Array.from({ length: 8 }, (_, at) => ((value >> BigInt(112 - 16 * at)) & 0xffffn).toString(16));
  const text = groups.join(':');
  const runs = [...text.matchAll(/(?:^|:)0(?::0)+(?=:|$)/g)].sort((a, b) => b[0].length - a[0].length);
  const [longest] = runs;
  if (longest === undefined) return text;
  const end = longest.index + longest[0].length;
  return `${text.slice(0, longest.index)}::${text.slice(end).replace(/^:/, '')}`;
}

export function formatIp({ family, value }: Ip): string {
  return formatValue(family, value);
}

/** `10.0.0.1/8`; without the length when it is the whole address. */
export function formatNetwork(ip: Ip): string {
  return ip.bits === widthOf(ip) ? formatIp(ip) : `${formatIp(ip)}/${ip.bits}`;
}

/** Bits of the host part, all set. */
export function hostMask(ip: Ip): bigint {
  return (1n << BigInt(widthOf(ip) - ip.bits)) - 1n;
}

export function networkMask(ip: Ip): bigint {
  return ((1n << BigInt(widthOf(ip))) - 1n) ^ hostMask(ip);
}

export function networkOf(ip: Ip): bigint {
  return ip.value & networkMask(ip);
}

/** Is the whole network of `inner` in that of `outer`? */
export function contains(outer: Ip, inner: Ip): boolean {
  return outer.family === inner.family && (inner.value & networkMask(outer)) === networkOf(outer);
}
