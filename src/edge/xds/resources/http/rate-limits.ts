import { create } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import type { RateLimit } from '../../../../model/layer7/rate-limits.ts';
import { LocalRateLimitSchema } from '../../gen/envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit_pb.ts';
import {
  type HttpFilter,
  HttpFilterSchema,
} from '../../gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts';
import { FractionalPercent_DenominatorType } from '../../gen/envoy/type/v3/percent_pb.ts';
import { pack } from '../../resource.ts';
import { millis } from '../common.ts';

const FILTER = 'envoy.filters.http.local_ratelimit';
const STAT_PREFIX = 'inbound';

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
