import type { Socket } from 'node:net';

/** Counts connections by client address and refuses those above the limit. */
export class ConnectionLimiter {
  readonly #limit: number;
  readonly #counts = new Map<string, number>();
  #open = 0;

  /** @param limit connections of one address; 0 is without limit. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  get open(): number {
    return this.#open;
  }

  /** True when the connection may stay; it is given back when it closes. */
  admit(socket: Socket): boolean {
    const client = socket.remoteAddress; // undefined on a Unix socket, which needs no limit
    const count = client === undefined ? 0 : (this.#counts.get(client) ?? 0);
    if (client !== undefined && this.#limit > 0 && count >= this.#limit) return false;
    this.#open += 1;
    if (client !== undefined) this.#counts.set(client, count + 1);
    socket.once('close', () => {
      this.#open -= 1;
      if (client === undefined) return;
      const left = (this.#counts.get(client) ?? 1) - 1;
      if (left === 0) this.#counts.delete(client);
      else this.#counts.set(client, left);
    });
    return true;
  }
}

const REFUSAL_TEXT = 'Too many connections from your address: close some or raise limits.http_max_conns_per_client\n';

/** What a refused connection reads before it is closed. */
export const TOO_MANY_CONNECTIONS =
  `HTTP/1.1 429 Too Many Requests\r\nContent-Type: text/plain; charset=utf-8\r\n` +
  `Content-Length: ${Buffer.byteLength(REFUSAL_TEXT)}\r\nConnection: close\r\n\r\n${REFUSAL_TEXT}`;
