import { isIPv4, isIPv6 } from 'node:net';
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

/** The 4 or 16 bytes of a literal address. */
export function addressBytes(address: string): Buffer {
  if (isIPv4(address)) return Buffer.from(address.split('.').map(Number));
  let text = address.split('%')[0] as string;
  const tail = /:(\d+\.\d+\.\d+\.\d+)$/.exec(text)?.[1];
  if (tail !== undefined) {
    const [a, b, c, d] = tail.split('.').map(Number) as [number, number, number, number];
    text = `${text.slice(0, -tail.length)}${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
  }
  const [head = '', rear] = text.split('::') as [string, string | undefined];
  const groups = (part: string): number[] => (part === '' ? [] : part.split(':').map((g) => Number.parseInt(g, 16)));
  const first = groups(head);
  const last = rear === undefined ? [] : groups(rear);
  const all = [...first, ...new Array<number>(Math.max(0, 8 - first.length - last.length)).fill(0), ...last];
  return Buffer.from(all.flatMap((group) => [group >> 8, group & 0xff]));
}

/** Bytes of an IPv6 address that name a network: one client has a /64 to itself, and all addresses in it. */
const V6_NETWORK_BYTES = 8;

/**
 * What bounds for each address count by: an IPv4 address, also one that is mapped into IPv6, and the /64 of an IPv6
 * one. Undefined for what has none, such as a Unix socket.
 */
export function bucketOf(address: string | undefined): string | undefined {
  if (address === undefined) return undefined;
  const plain = address.toLowerCase().startsWith(MAPPED) ? address.slice(MAPPED.length) : address;
  if (!isIPv6(plain)) return plain;
  return `${addressBytes(plain).toString('hex', 0, V6_NETWORK_BYTES)}/64`;
}
