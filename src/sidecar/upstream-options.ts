import { tryParseDuration } from '../lib/duration.ts';
import { option } from './limits.ts';
import type { Tolerance } from './outlier.ts';

/** What an upstream's opaque options say to this proxy. What they leave out is undefined. */
export interface UpstreamOptions {
  /** `limits.max_connections`; `max_connections` alone is the older spelling. */
  readonly maxConnections: number | undefined;
  /** `connect_timeout_ms` */
  readonly connectTimeoutMs: number | undefined;
  /** `passive_health_check`, with `max_failures` and `interval` */
  readonly tolerance: Tolerance;
}

type Options = Readonly<Record<string, unknown>>;

export function upstreamOptions(config: Options): UpstreamOptions {
  const check = block(config.passive_health_check);
  return {
    maxConnections: option(block(config.limits), 'max_connections') ?? option(config, 'max_connections'),
    connectTimeoutMs: option(config, 'connect_timeout_ms'),
    tolerance: {
      maxFailures: option(check, 'max_failures') ?? 1,
      intervalMs: durationOf(check.interval) ?? Number.POSITIVE_INFINITY,
    },
  };
}

/** An object, or a list of one, as blocks in HCL are written. */
function block(value: unknown): Options {
  const [first] = Array.isArray(value) ? (value as readonly unknown[]) : [value];
  return typeof first === 'object' && first !== null ? (first as Options) : {};
}

/** Milliseconds of "30s", or of a number of nanoseconds, as the peer reads durations. */
function durationOf(value: unknown): number | undefined {
  if (typeof value === 'number') return value > 0 ? value / 1e6 : undefined;
  const ms = typeof value === 'string' ? tryParseDuration(value) : undefined;
  return ms !== undefined && ms > 0 ? ms : undefined;
}
