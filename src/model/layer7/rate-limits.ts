import type { ConfigEntry } from '../config-entry.ts';
import type { PathMatch } from './match.ts';

/** How many requests an instance takes, as `RateLimits` of its `service-defaults` says. */

export interface RateLimit {
  /** 0: no limit. */
  readonly perSecond: number;
  readonly burst: number;
}

export interface RouteLimit extends RateLimit {
  readonly path: PathMatch;
}

export interface RateLimits extends RateLimit {
  /** In order: the first whose path matches counts, instead of the one for all. */
  readonly routes: readonly RouteLimit[];
}

interface LimitFields {
  readonly RequestsPerSecond?: number;
  readonly RequestsMaxBurst?: number;
  readonly PathExact?: string;
  readonly PathPrefix?: string;
  readonly PathRegex?: string;
}

export function rateLimits(entry: ConfigEntry | undefined): RateLimits {
  const { RateLimits } = (entry ?? {}) as {
    readonly RateLimits?: { readonly InstanceLevel?: LimitFields & { readonly Routes?: readonly LimitFields[] } };
  };
  const { Routes = [], ...all } = RateLimits?.InstanceLevel ?? {};
  return { ...limitOf(all), routes: Routes.map((fields) => ({ ...limitOf(fields), path: pathOf(fields) })) };
}

function limitOf({ RequestsPerSecond = 0, RequestsMaxBurst = 0 }: LimitFields): RateLimit {
  return { perSecond: RequestsPerSecond, burst: Math.max(RequestsMaxBurst, RequestsPerSecond) };
}

function pathOf({ PathExact, PathPrefix, PathRegex = '' }: LimitFields): RouteLimit['path'] {
  if (PathExact !== undefined) return { type: 'exact', value: PathExact };
  return PathPrefix === undefined ? { type: 'regex', value: PathRegex } : { type: 'prefix', value: PathPrefix };
}
