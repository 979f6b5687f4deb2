import { tryParseDuration } from '../../lib/duration.ts';
import { IsthmusError } from '../../lib/errors.ts';
import type { Consistency } from '../../rpc/contract/contract.ts';
import type { Query } from './query.ts';

/** What every read takes from its query string. The texts, and the order in which they are checked, are Consul's. */
export interface ReadParameters {
  readonly consistency: Consistency;
  readonly cached: boolean;
  readonly datacenter?: string;
  readonly index?: number;
  readonly waitMs?: number;
}

/** How long blocking queries wait, milliseconds; absent, whoever answers decides (5 minutes, at most 10). */
export interface QueryTimes {
  readonly defaultMs: number;
  readonly maxMs: number;
}

export function parseReadParameters(query: Query, ownDatacenter: string, times?: QueryTimes): ReadParameters {
  if (query.empty) return DEFAULTS;
  const consistency = parseConsistency(query);
  const cached = query.has('cached');
  if (cached && consistency === 'consistent')
    throw invalid('Cannot specify ?cached with ?consistent, conflicting semantics.');
  const asked = parseWait(query.text('wait'));
  const index = parseIndex(query.text('index'));
  const wait = times === undefined ? asked : Math.min(asked ?? times.defaultMs, times.maxMs);
  const datacenter = query.text('dc');
  return {
    consistency,
    cached,
    ...(wait === undefined ? {} : { waitMs: wait }),
    ...(index === undefined ? {} : { index }),
    ...(datacenter === '' || datacenter === ownDatacenter ? {} : { datacenter }),
  };
}

export function parseConsistency(query: Query): Consistency {
  const stale = query.has('stale');
  const consistent = query.has('consistent');
  if (stale && consistent) throw invalid('Cannot specify ?stale with ?consistent, conflicting semantics.');
  return stale ? 'stale' : consistent ? 'consistent' : 'default';
}

/** Parses a parameter that must be an unsigned number, as Go's ParseUint(10, 64); undefined when it is not. */
export function parseUnsigned(text: string): number | undefined {
  if (!/^[0-9]{1,20}$/.test(text) || BigInt(text) > MAX_UINT64) return undefined;
  // Revisions stay far below 2^53; above it all numbers mean "in the far future".
  return Math.min(Number(text), Number.MAX_SAFE_INTEGER);
}

/** As Go's ParseBool, with '' as true: `?passing` alone. Undefined when it is neither. */
export function parseFlag(text: string): boolean | undefined {
  if (text === '' || /^(1|t|T|TRUE|true|True)$/.test(text)) return true;
  return /^(0|f|F|FALSE|false|False)$/.test(text) ? false : undefined;
}

const MAX_UINT64 = 2n ** 64n - 1n;

const DEFAULTS: ReadParameters = { consistency: 'default', cached: false };

function parseIndex(text: string): number | undefined {
  if (text === '') return undefined;
  const index = parseUnsigned(text);
  if (index === undefined) throw invalid('Invalid index');
  return index === 0 ? undefined : index;
}

function parseWait(text: string): number | undefined {
  if (text === '') return undefined;
  const wait = tryParseDuration(text);
  if (wait === undefined) throw invalid('Invalid wait time');
  return wait > 0 ? wait : undefined; // Consul takes its default for the rest
}

function invalid(text: string): IsthmusError {
  return new IsthmusError('invalid_argument', text);
}
