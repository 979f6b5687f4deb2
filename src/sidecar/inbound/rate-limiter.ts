import type { Clock } from '../../lib/clock.ts';
import { matchesRequest } from '../../model/layer7/match.ts';
import type { RateLimit, RateLimits, RouteLimit } from '../../model/layer7/rate-limits.ts';
import type { HttpRequest } from '../../model/layer7/request.ts';

/**
 * Takes so many requests each second, as Envoy does by the same entry: a bucket for each path, and one for the rest.
 */
export class RateLimiter {
  readonly limits: RateLimits;
  readonly #rest: Bucket;
  readonly #routes: readonly { readonly limit: RouteLimit; readonly bucket: Bucket }[];

  constructor(limits: RateLimits, clock: Clock) {
    this.limits = limits;
    this.#rest = new Bucket(limits, clock);
    this.#routes = limits.routes.map((limit) => ({ limit, bucket: new Bucket(limit, clock) }));
  }

  /** False: it is one too many. */
  admits(request: HttpRequest): boolean {
    const found = this.#routes.find(({ limit }) =>
      matchesRequest({ path: limit.path, headers: [], query: [], methods: [] }, request),
    );
    // The limit of a path counts instead of the one for all, also when it is none.
    if (found === undefined || found.limit.perSecond === 0) return this.#rest.take();
    return found.bucket.take();
  }
}

class Bucket {
  readonly #limit: RateLimit;
  readonly #clock: Clock;
  #tokens: number;
  #at: number;

  constructor(limit: RateLimit, clock: Clock) {
    this.#limit = limit;
    this.#clock = clock;
    this.#tokens = limit.burst;
    this.#at = clock.now();
  }

  take(): boolean {
    const { perSecond, burst } = this.#limit;
    if (perSecond === 0) return true;
    const now = this.#clock.now();
    // A clock that was set back gives nothing.
    const passed = Math.max(0, now - this.#at);
    this.#tokens = Math.min(burst, this.#tokens + (passed * perSecond) / 1_000);
    this.#at = now;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}
