import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Clock } from '../../lib/clock.ts';

const CLIENT_BYTES = 8;
const MIN_SERVER_BYTES = 8;
const MAX_SERVER_BYTES = 32;
/** Version, three reserved bytes and the time in seconds, before the hash. */
const HEAD_BYTES = 8;
const HASH_BYTES = 8;
const VERSION = 1;
/** RFC 9018, 4.3, seconds: how old a cookie may be, how far in the future, and from when on it is replaced. */
const MAX_AGE = 3_600;
const MAX_AHEAD = 300;
const RENEW_AGE = 1_800;

export interface CheckedCookie {
  /** The option's data for the reply. */
  readonly answer: Buffer;
  /** The asker has shown that it gets what is sent to its address. */
  readonly valid: boolean;
}

/**
 * DNS cookies (RFC 7873): who sends back what it was given receives at its source address. They have the form of RFC
 * 9018 with an HMAC (SHA-256, cut) in place of SipHash; only this process checks them, with a secret of its own life.
 */
export class Cookies {
  readonly #clock: Clock;
  readonly #secret = randomBytes(32);

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** @param option the data of the request's COOKIE option, of a length that {@link isCookie} takes */
  check(option: Buffer, source: string): CheckedCookie {
    const now = Math.floor(this.#clock.now() / 1_000);
    const client = option.subarray(0, CLIENT_BYTES);
    const server = option.subarray(CLIENT_BYTES);
    const age = this.#ageOf(client, server, source, now);
    const valid = age !== undefined && age <= MAX_AGE && age >= -MAX_AHEAD;
    if (valid && age < RENEW_AGE) return { answer: Buffer.from(option), valid };
    const head = Buffer.alloc(HEAD_BYTES);
    head[0] = VERSION;
    head.writeUInt32BE(now % 2 ** 32, 4);
    return { answer: Buffer.concat([client, head, this.#hash(client, head, source)]), valid };
  }

  /** Seconds; undefined when it is none of ours for this client at this address. */
  #ageOf(client: Buffer, server: Buffer, source: string, now: number): number | undefined {
    if (server.length !== HEAD_BYTES + HASH_BYTES || server[0] !== VERSION) return undefined;
    const head = server.subarray(0, HEAD_BYTES);
    if (!timingSafeEqual(server.subarray(HEAD_BYTES), this.#hash(client, head, source))) return undefined;
    return now - head.readUInt32BE(4);
  }

  #hash(client: Buffer, head: Buffer, source: string): Buffer {
    const hmac = createHmac('sha256', this.#secret).update(client).update(head).update(source);
    return hmac.digest().subarray(0, HASH_BYTES);
  }
}

/** A client cookie alone, or one with a server cookie. */
export function isCookie({ length }: Buffer): boolean {
  return (
    length === CLIENT_BYTES || (length >= CLIENT_BYTES + MIN_SERVER_BYTES && length <= CLIENT_BYTES + MAX_SERVER_BYTES)
  );
}
