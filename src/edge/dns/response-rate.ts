import { addressBytes, isLoopback } from '../../lib/address.ts';
import type { Clock } from '../../lib/clock.ts';

const WINDOW_MS = 1_000;
/** Networks counted one by one in a second; all others share what one of them has. */
const MAX_NETWORKS = 65_536;
const OTHERS = 'others';
/** Bytes of an IPv6 address that a source network has: /56. */
const V6_NETWORK_BYTES = 7;

/**
 * Counts what each source network gets over UDP in a second. Source addresses of datagrams can be forged: without a
 * bound, whoever names a victim's address has answers sent there.
 */
export class ResponseRate {
  readonly #clock: Clock;
  readonly #counts = new Map<string, number>();
  #windowEnds = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** False when the network of `source` has had `perSecond` already; 0 is without limit. */
  take(source: string, perSecond: number): boolean {
    if (perSecond === 0 || isLoopback(source)) return true;
    const now = this.#clock.steady();
    if (now >= this.#windowEnds || now < this.#windowEnds - WINDOW_MS) {
      this.#windowEnds = now + WINDOW_MS;
      this.#counts.clear();
    }
    let network = networkOf(source);
    if (this.#counts.size >= MAX_NETWORKS && !this.#counts.has(network)) network = OTHERS;
    const count = this.#counts.get(network) ?? 0;
    if (count >= perSecond) return false;
    this.#counts.set(network, count + 1);
    return true;
  }
}

/** The /24 of an IPv4 address, the /56 of an IPv6 one. */
export function networkOf(source: string): string {
  const v4 = source.lastIndexOf('.');
  if (v4 > 0 && !source.includes(':')) return source.slice(0, v4);
  return addressBytes(source).toString('hex', 0, V6_NETWORK_BYTES);
}
