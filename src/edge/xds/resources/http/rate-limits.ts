import { create } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import type { ConfigEntry } from '../../../../model/config-entry.ts';
import { LocalRateLimitSchema } from '../../gen/envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit_pb.ts';
import {
  type HttpFilter,
  HttpFilterSchema,
} from '../../gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts';
import { FractionalPercent_DenominatorType } from '../../gen/envoy/type/v3/percent_pb.ts';
import { pack } from '../../resource.ts';
import { millis } from '../common.ts';

/** How many requests an instance takes, as `RateLimits` of its `service-defaults` says. */

export interface RateLimit {
  /** 0: no limit. */
  readonly perSecond: number;
  readonly burst: number;
}

export interface RouteLimit extends RateLimit {
  readonly path: { readonly type: 'exact' | 'prefix' | 'regex'; readonly value: string };
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

const FILTER = 'envoy.filters.http.local_ratelimit';
const STAT_PREFIX = 'inbound';

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

/** Without limits of its own: they are part of the routes, so that a changed one ends nothing. */
export function rateLimitFilter(): HttpFilter {
  const filter = create(LocalRateLimitSchema, { statPrefix: STAT_PREFIX });
  return create(HttpFilterSchema, {
    name: FILTER,
    configType: { case: 'typedConfig', value: pack(LocalRateLimitSchema, filter) },
  });
}

const ALWAYS = {
  defaultValue: { numerator: 100, denominator: FractionalPercent_DenominatorType.HUNDRED },
};

/** For a route, or for all that say nothing else. */
export function rateLimit({ perSecond, burst }: RateLimit): Record<string, Any> {
  if (perSecond === 0) return {};
  const filter = create(LocalRateLimitSchema, {
    statPrefix: STAT_PREFIX,
    tokenBucket: { maxTokens: burst, tokensPerFill: perSecond, fillInterval: millis(1_000) },
    filterEnabled: ALWAYS,
    filterEnforced: ALWAYS,
  });
  return { [FILTER]: pack(LocalRateLimitSchema, filter) };
}
