import type { Clock } from '../../lib/clock.ts';
import { PerKeyLimit } from '../../lib/per-key-limit.ts';
import type { HttpLimits } from './limits.ts';
import type { ApiResponse } from './route.ts';

/** Counts the requests under way and those that wait, and says no above the limits. */
export class Admission {
  /** Blocking queries and streams, by client. */
  readonly watchers: PerKeyLimit;
  readonly #maxUnderWay: number;
  #underWay = 0;
  readonly #onNoneUnderWay: (() => void)[] = [];

  constructor(limits: Pick<HttpLimits, 'maxWatchersPerClient' | 'maxRequestsInFlight'>) {
    this.watchers = new PerKeyLimit({ perKey: limits.maxWatchersPerClient });
    this.#maxUnderWay = limits.maxRequestsInFlight;
  }

  /** Requests whose answer is not written yet. */
  get underWay(): number {
    return this.#underWay;
  }

  /** True when the request may come in; {@link leave} follows in either case. */
  enter(): boolean {
    this.#underWay += 1;
    return this.#underWay <= this.#maxUnderWay;
  }

  readonly leave = (): void => {
    this.#underWay -= 1;
    if (this.#underWay === 0) for (const tell of this.#onNoneUnderWay.splice(0)) tell();
  };

  /** Resolves once no request is under way, or after `ms`. */
  drained(clock: Clock, ms: number): Promise<void> {
    return new Promise((resolve) => {
      if (this.#underWay === 0) {
        resolve();
        return;
      }
      const timer = clock.after(ms, resolve);
      this.#onNoneUnderWay.push(() => {
        timer.cancel();
        resolve();
      });
    });
  }
}

export const TOO_MANY_REQUESTS: ApiResponse = {
  status: 503,
  headers: { 'Retry-After': '1' },
  text: 'Too many requests are under way: try again in a second, or raise limits.http_max_requests_in_flight',
};

export const TOO_MANY_WATCHERS: ApiResponse = {
  status: 429,
  headers: { 'Retry-After': '1' },
  text: 'Too many blocking queries of your address are open: end some or raise limits.http_max_watchers_per_client',
};

const CONNECTIONS_TEXT =
  'Too many connections from your address: close some or raise limits.http_max_conns_per_client\n';

/** What a refused connection reads before it is closed. */
export const TOO_MANY_CONNECTIONS =
  `HTTP/1.1 429 Too Many Requests\r\nContent-Type: text/plain; charset=utf-8\r\n` +
  `Content-Length: ${Buffer.byteLength(CONNECTIONS_TEXT)}\r\nConnection: close\r\n\r\n${CONNECTIONS_TEXT}`;
