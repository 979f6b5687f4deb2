import { IsthmusError } from '../lib/errors.ts';
import type {
  Intention,
  IntentionPermission,
  JwtFields,
  ServiceIntentionsEntry,
  SourceIntention,
} from './intention.ts';
import type { HeaderMatchFields } from './layer7/match.ts';
import { patternFault } from './layer7/pattern.ts';

/**
 * The rules of a `service-intentions` entry: how it is normalised, what it may hold, and how its sources are seen as
 * intentions. Pure, so that the entry's owner and the intentions' views agree.
 */

export const WILDCARD = '*';
const DESCRIPTION_LENGTH = 512;

/** Consul's numbers: the destination is compared first, an exact name goes before the wildcard. */
export function precedenceOf(source: string, destination: string): number {
  if (destination !== WILDCARD) return source !== WILDCARD ? 9 : 8;
  return source !== WILDCARD ? 6 : 5;
}

/** Among equal precedence: a named destination datacenter counts more than a named source datacenter. */
export function datacenterRank(sourceNamed: boolean, destinationNamed: boolean): number {
  return (destinationNamed ? 2 : 0) + (sourceNamed ? 1 : 0);
}

/** Destination datacenters that a source applies to; undefined means any. */
export function destinationsOf(entry: ServiceIntentionsEntry, source: SourceIntention): readonly string[] | undefined {
  return source.DestinationDatacenters ?? entry.Datacenters;
}

export interface NormaliseOptions {
  /** True for the endpoints with IDs, which keep the Legacy fields; every other way of writing clears them. */
  readonly legacy: boolean;
  /** Sources may decide about the same connection twice: the stricter one counts. Only of what is decided elsewhere. */
  readonly repeated?: boolean;
}

/** Fills in Precedence and Type, orders the sources by what decides first, and drops what is empty. */
export function normaliseIntentions(entry: ServiceIntentionsEntry, options: NormaliseOptions): ServiceIntentionsEntry {
  const sources = (entry.Sources ?? []).map((source) => normaliseSource(entry, source, options));
  sources.sort(compareSources); // stable: equal ones stay as they were written
  return compact({ ...entry, Datacenters: names(entry.Datacenters), Sources: sources });
}

function compareSources(a: SourceIntention, b: SourceIntention): number {
  return rankOfSource(b) - rankOfSource(a);
}

function rankOfSource(source: SourceIntention): number {
  return (
    source.Precedence * 4 +
    datacenterRank(source.Datacenters !== undefined, source.DestinationDatacenters !== undefined)
  );
}

/**
 * Entries whose names are the same but for letter case, as one: the stricter of two sources that decide the same
 * counts.
 */
export function mergeIntentions(entries: readonly ServiceIntentionsEntry[]): ServiceIntentionsEntry {
  const [first] = entries as readonly [ServiceIntentionsEntry, ...ServiceIntentionsEntry[]];
  const limited = new Set(entries.map((entry) => JSON.stringify(names(entry.Datacenters)))).size > 1;
  const strictest = new Map<string, SourceIntention>();
  for (const entry of entries) {
    for (const given of entry.Sources) {
      const source = limited ? compact({ ...given, DestinationDatacenters: destinationsOf(entry, given) }) : given;
      const scope = [source.Name, names(source.Datacenters), names(destinationsOf(entry, source))];
      const key = JSON.stringify(scope);
      const known = strictest.get(key);
      if (known === undefined || strictness(source) > strictness(known)) strictest.set(key, source);
    }
  }
  const Sources = [...strictest.values()].sort(compareSources);
  const JWT = entries.find((entry) => entry.JWT !== undefined)?.JWT;
  return compact({ ...first, Datacenters: limited ? undefined : first.Datacenters, JWT, Sources });
}

/** What a source lets through: nothing, some requests, everything. */
function strictness(source: SourceIntention): number {
  return source.Action === 'deny' ? 2 : (source.Permissions?.length ?? 0) > 0 ? 1 : 0;
}

function normaliseSource(
  entry: ServiceIntentionsEntry,
  source: SourceIntention,
  options: NormaliseOptions,
): SourceIntention {
  const { LegacyMeta } = source;
  const legacy = options.legacy
    ? {
        LegacyID: source.LegacyID,
        LegacyCreateTime: source.LegacyCreateTime,
        LegacyUpdateTime: source.LegacyUpdateTime,
      }
    : { LegacyID: undefined, LegacyCreateTime: undefined, LegacyUpdateTime: undefined };
  return compact({
    Name: source.Name ?? '',
    Action: source.Action,
    Permissions: source.Permissions,
    Precedence: precedenceOf(source.Name, entry.Name),
    LegacyID: legacy.LegacyID,
    Type: source.Type ?? 'consul',
    Description: source.Description || undefined,
    // Kept on a write that may not have it, so that the write is refused instead of losing it.
    LegacyMeta: LegacyMeta === undefined || Object.keys(LegacyMeta).length === 0 ? undefined : LegacyMeta,
    LegacyCreateTime: legacy.LegacyCreateTime,
    LegacyUpdateTime: legacy.LegacyUpdateTime,
    Datacenters: names(source.Datacenters),
    DestinationDatacenters: names(source.DestinationDatacenters),
  });
}

/** Throws the first rule that a normalised entry breaks. */
export function validateIntentions(entry: ServiceIntentionsEntry, options: NormaliseOptions): void {
  if (entry.Name === '') throw rejected('Name is required');
  rejectPartialWildcard('Name', entry.Name);
  validateDatacenters('Datacenters', entry.Datacenters);
  validateToken(entry.JWT, 'JWT');
  if (entry.Sources.length === 0) throw rejected('At least one source is required');
  const seen = new Map<string, SourceIntention[]>();
  for (const [at, source] of entry.Sources.entries()) {
    const where = `Sources[${at}]`;
    validateSource(entry, source, where, options);
    const others = seen.get(source.Name) ?? [];
    if (options.repeated !== true) for (const other of others) rejectOverlap(entry, where, source, other);
    seen.set(source.Name, [...others, source]);
  }
}

function validateSource(
  entry: ServiceIntentionsEntry,
  source: SourceIntention,
  where: string,
  options: NormaliseOptions,
): void {
  if (source.Name === '') throw rejected(`${where}.Name is required`);
  rejectPartialWildcard(`${where}.Name`, source.Name);
  if (source.Type !== 'consul') throw rejected(`${where}.Type must be set to 'consul'`);
  if ((source.Description ?? '').length > DESCRIPTION_LENGTH)
    throw rejected(`${where}.Description exceeds maximum length ${DESCRIPTION_LENGTH}`);
  if (!options.legacy && source.LegacyMeta !== undefined) throw rejected(`${where}.LegacyMeta must be omitted`);
  const permissions = source.Permissions ?? [];
  if (permissions.length > 0) {
    if (source.Action !== undefined) throw rejected(`${where}.Action must be omitted if Permissions are specified`);
    if (entry.Name === WILDCARD)
      throw rejected(`${where}.Permissions cannot be used on intentions with wildcarded destinations`);
  } else if (!isAction(source.Action)) throw rejected(`${where}.Action must be set to 'allow' or 'deny'`);
  for (const [at, permission] of permissions.entries()) validatePermission(permission, `${where}.Permissions[${at}]`);
  validateDatacenters(`${where}.Datacenters`, source.Datacenters);
  validateDatacenters(`${where}.DestinationDatacenters`, source.DestinationDatacenters);
  const outside = source.DestinationDatacenters?.find((name) => entry.Datacenters?.includes(name) === false);
  if (outside !== undefined)
    throw rejected(`${where}.DestinationDatacenters names ${JSON.stringify(outside)}, which is not in Datacenters`);
}

const HEADER_WAYS = ['Present', 'Exact', 'Prefix', 'Suffix', 'Regex', 'Contains'] as const;

function validateHeader(header: HeaderMatchFields, where: string): void {
  if (header.Name === undefined) throw rejected(`${where} missing required Name field`);
  const ways = HEADER_WAYS.filter((way) => header[way] !== undefined);
  if (ways.length !== 1) throw rejected(`${where} should only contain one of Present, Exact, Prefix, Suffix, or Regex`);
  if (header.IgnoreCase === true && (ways[0] === 'Present' || ways[0] === 'Regex'))
    throw rejected(`${where} should set one of Exact, Prefix, Suffix, or Contains when using IgnoreCase`);
  rejectPattern(header.Regex, `${where}.Regex`);
}

function rejectPattern(pattern: string | undefined, where: string): void {
  const fault = pattern === undefined ? undefined : patternFault(pattern);
  if (fault !== undefined) throw rejected(`${where} is not a valid regular expression (RE2): ${fault}`);
}

function validateToken(token: JwtFields | undefined, where: string): void {
  if (token === undefined) return;
  const { Providers = [] } = token;
  if (Providers.length === 0) throw rejected(`${where}.Providers: at least one provider is required`);
  for (const [at, { Name, VerifyClaims = [] }] of Providers.entries()) {
    if (Name === undefined) throw rejected(`${where}.Providers[${at}]: JWT provider name is required`);
    for (const [n, { Path = [], Value }] of VerifyClaims.entries())
      if (Path.length === 0 || Path.includes('') || Value === undefined)
        throw rejected(`${where}.Providers[${at}].VerifyClaims[${n}]: Path and Value are required`);
  }
}

function validatePermission({ Action, HTTP: http, JWT }: IntentionPermission, where: string): void {
  if (!isAction(Action)) throw rejected(`${where}.Action must be set to 'allow' or 'deny'`);
  if (http === undefined) throw rejected(`${where}.HTTP is required`);
  const { PathExact, PathPrefix, PathRegex } = http;
  if ([PathExact, PathPrefix, PathRegex].filter((path) => path !== undefined).length > 1)
    throw rejected(`${where}.HTTP should only contain at most one of PathExact, PathPrefix, or PathRegex`);
  for (const [name, path] of Object.entries({ PathExact, PathPrefix })) {
    if (path !== undefined && !path.startsWith('/'))
      throw rejected(`${where}.HTTP.${name} doesn't start with '/': ${JSON.stringify(path)}`);
  }
  rejectPattern(PathRegex, `${where}.HTTP.PathRegex`);
  for (const [at, header] of (http.Header ?? []).entries()) validateHeader(header, `${where}.HTTP.Header[${at}]`);
  const methods = new Set<string>();
  for (const method of http.Methods ?? []) {
    if (methods.has(method)) throw rejected(`${where}.HTTP.Methods contains ${JSON.stringify(method)} more than once`);
    methods.add(method);
  }
  validateToken(JWT, `${where}.JWT`);
}

export function isAction(value: unknown): value is 'allow' | 'deny' {
  return value === 'allow' || value === 'deny';
}

/** Two sources of one name must not both decide about the same pair of datacenters with the same rank. */
function rejectOverlap(
  entry: ServiceIntentionsEntry,
  where: string,
  source: SourceIntention,
  other: SourceIntention,
): void {
  const same = (a: readonly string[] | undefined, b: readonly string[] | undefined): boolean =>
    a === undefined || b === undefined ? a === b : a.some((name) => b.includes(name));
  if (!same(source.Datacenters, other.Datacenters)) return;
  if (!same(destinationsOf(entry, source), destinationsOf(entry, other))) return;
  throw rejected(`${where} defines ${JSON.stringify(source.Name)} more than once`);
}

function validateDatacenters(field: string, list: readonly string[] | undefined): void {
  for (const name of list ?? []) {
    if (!/^[a-z0-9_-]+$/i.test(name))
      throw rejected(`${field}: ${JSON.stringify(name)} is not the name of a datacenter`);
  }
}

function rejectPartialWildcard(field: string, name: string): void {
  if (name !== WILDCARD && name.includes(WILDCARD))
    throw rejected(`${field}: wildcard character '*' cannot be used with partial values`);
}

/** The intentions that one source stands for: one for each pair of datacenters that it names. */
export function intentionsOf(
  entry: ServiceIntentionsEntry,
  source: SourceIntention,
  revisions: { readonly CreateIndex: number; readonly ModifyIndex: number },
): readonly Intention[] {
  const result: Intention[] = [];
  for (const sourceDatacenter of source.Datacenters ?? [undefined]) {
    for (const destinationDatacenter of destinationsOf(entry, source) ?? [undefined]) {
      result.push(
        compact({
          CreatedAt: source.LegacyCreateTime,
          UpdatedAt: source.LegacyUpdateTime,
          ID: source.LegacyID,
          Description: source.Description,
          SourceNS: 'default',
          SourceName: source.Name,
          SourceDatacenter: sourceDatacenter,
          DestinationNS: 'default',
          DestinationName: entry.Name,
          DestinationDatacenter: destinationDatacenter,
          SourceType: source.Type,
          Action: source.Action,
          Permissions: source.Permissions,
          Meta: source.LegacyMeta,
          Precedence: source.Precedence,
          CreateIndex: revisions.CreateIndex,
          ModifyIndex: revisions.ModifyIndex,
        }),
      );
    }
  }
  return result;
}

/** What decides first comes first; names break ties so that the order is the same everywhere. */
export function compareIntentions(a: Intention, b: Intention): number {
  return (
    b.Precedence - a.Precedence ||
    rankOf(b) - rankOf(a) ||
    compareText(a.SourceName, b.SourceName) ||
    compareText(a.DestinationName, b.DestinationName) ||
    compareText(a.SourceDatacenter ?? '', b.SourceDatacenter ?? '') ||
    compareText(a.DestinationDatacenter ?? '', b.DestinationDatacenter ?? '')
  );
}

function rankOf(intention: Intention): number {
  return datacenterRank(intention.SourceDatacenter !== undefined, intention.DestinationDatacenter !== undefined);
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function names(list: readonly string[] | undefined): readonly string[] | undefined {
  return list === undefined || list.length === 0 ? undefined : [...new Set(list)].sort();
}

type Loose<T> = { readonly [K in keyof T]: T[K] | undefined };

/** Leaves out what is undefined. */
function compact<T extends object>(value: Loose<T>): T {
  return Object.fromEntries(Object.entries(value).filter(([, item]) => item !== undefined)) as T;
}

function rejected(text: string): IsthmusError {
  return new IsthmusError('rejected', text);
}
