import { tryParseDuration } from '../lib/duration.ts';

/** Milliseconds by service name; undefined values were refused by `validate`. */
export function parseServiceTtls(ttls: Readonly<Record<string, string>>): Record<string, number> {
  return Object.fromEntries(Object.entries(ttls).map(([name, ttl]) => [name, tryParseDuration(ttl) ?? 0]));
}
