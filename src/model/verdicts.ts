import type { IntentionAction, ServiceIntentionsEntry, SourceIntention, VerdictRule, Verdicts } from './intention.ts';
import { foldName } from './names.ts';
import { datacenterRank, destinationsOf, precedenceOf, WILDCARD } from './service-intentions.ts';

/** An entry that may decide about a destination, with the revision at which it was last written. */
export interface RuledEntry {
  readonly entry: ServiceIntentionsEntry;
  readonly revision: number;
}

export interface VerdictsRequest {
  readonly destination: string;
  readonly destinationDatacenter: string;
  /** The destination's own entry and that of '*', as far as they exist. */
  readonly entries: readonly RuledEntry[];
  readonly defaultAction: IntentionAction;
}

export interface Decision {
  readonly allowed: boolean;
  /** The rule that decided; absent when none matched and the default applied. */
  readonly rule?: VerdictRule;
}

/** Everything that decides about connections to one destination in one datacenter, what decides first first. */
export function compileVerdicts(request: VerdictsRequest): Verdicts {
  const rules: VerdictRule[] = [];
  let newest = 0;
  for (const { entry, revision } of request.entries) {
    if (entry.Name !== request.destination && entry.Name !== WILDCARD) continue;
    newest = Math.max(newest, revision);
    for (const source of entry.Sources) {
      const destinations = destinationsOf(entry, source);
      if (destinations?.includes(request.destinationDatacenter) === false) continue;
      for (const sourceDatacenter of source.Datacenters ?? [undefined])
        rules.push(
          ruleOf(
            entry,
            source,
            sourceDatacenter,
            destinations === undefined ? undefined : request.destinationDatacenter,
            revision,
          ),
        );
    }
  }
  return {
    destination: request.destination,
    destinationDatacenter: request.destinationDatacenter,
    rules: rules.sort(compareRules),
    defaultAction: request.defaultAction,
    revision: newest,
  };
}

function ruleOf(
  entry: ServiceIntentionsEntry,
  source: SourceIntention,
  sourceDatacenter: string | undefined,
  destinationDatacenter: string | undefined,
  revision: number,
): VerdictRule {
  const permissions = source.Permissions?.length ?? 0;
  const requests = requestsOf(entry, source);
  return {
    source: source.Name,
    ...(sourceDatacenter === undefined ? {} : { sourceDatacenter }),
    destination: entry.Name,
    ...(destinationDatacenter === undefined ? {} : { destinationDatacenter }),
    action: requests === undefined && source.Action === 'allow' ? 'allow' : 'deny',
    precedence: precedenceOf(source.Name, entry.Name),
    revision,
    ...(source.LegacyID === undefined ? {} : { id: source.LegacyID }),
    ...(permissions === 0 ? {} : { permissions }),
    ...(requests === undefined ? {} : { requests }),
  };
}

/** Undefined: a connection can be decided, and with it every request. */
function requestsOf(entry: ServiceIntentionsEntry, source: SourceIntention): VerdictRule['requests'] {
  const permissions = (source.Permissions?.length ?? 0) > 0 ? { Permissions: source.Permissions } : undefined;
  if (permissions === undefined && (entry.JWT === undefined || source.Action !== 'allow')) return undefined;
  return { ...permissions, ...(entry.JWT === undefined ? {} : { JWT: entry.JWT }) } as VerdictRule['requests'];
}

/**
 * Consul's precedence first; then a rule that names a datacenter goes before the same one that names none, the
 * destination's counting more. Two that decide about the same connection are only in entries of older versions, whose
 * names differed by letter case: what denies goes first.
 */
function compareRules(a: VerdictRule, b: VerdictRule): number {
  return (
    b.precedence - a.precedence ||
    rankOf(b) - rankOf(a) ||
    compareText(a.source, b.source) ||
    compareText(a.sourceDatacenter ?? '', b.sourceDatacenter ?? '') ||
    compareText(b.action, a.action)
  );
}

function rankOf(rule: VerdictRule): number {
  return datacenterRank(rule.sourceDatacenter !== undefined, rule.destinationDatacenter !== undefined);
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Positions of the rules by the source that they name: made once, so that a decision never searches. */
const BY_SOURCE = new WeakMap<Verdicts, ReadonlyMap<string, readonly number[]>>();
const NONE: readonly number[] = [];

function positionsOf(verdicts: Verdicts): ReadonlyMap<string, readonly number[]> {
  let positions = BY_SOURCE.get(verdicts);
  if (positions === undefined) {
    const made = new Map<string, number[]>();
    for (const [at, rule] of verdicts.rules.entries()) {
      const source = foldName(rule.source); // a server of an older version sends them as they were written
      const list = made.get(source);
      if (list === undefined) made.set(source, [at]);
      else list.push(at);
    }
    positions = made;
    BY_SOURCE.set(verdicts, positions);
  }
  return positions;
}

/** The rules that match a source, the deciding one first. Without a datacenter, rules that name one don't match. */
export function matchingRules(verdicts: Verdicts, name: string, datacenter?: string): readonly VerdictRule[] {
  const source = foldName(name);
  const sourceDatacenter = datacenter === undefined ? undefined : foldName(datacenter);
  const positions = positionsOf(verdicts);
  const own = source === WILDCARD ? NONE : (positions.get(source) ?? NONE);
  const any = positions.get(WILDCARD) ?? NONE;
  return [...own, ...any]
    .sort((a, b) => a - b)
    .map((at) => verdicts.rules[at] as VerdictRule)
    .filter((rule) => rule.sourceDatacenter === undefined || rule.sourceDatacenter === sourceDatacenter);
}

/** May the source `name` in `datacenter` connect? The first rule that matches decides, otherwise the default. */
export function decide(verdicts: Verdicts, name: string, datacenter?: string): Decision {
  const source = foldName(name);
  const sourceDatacenter = datacenter === undefined ? undefined : foldName(datacenter);
  const positions = positionsOf(verdicts);
  const own = firstMatch(verdicts, source === WILDCARD ? NONE : positions.get(source), sourceDatacenter);
  const any = firstMatch(verdicts, positions.get(WILDCARD), sourceDatacenter);
  const at = Math.min(own, any);
  const rule = verdicts.rules[at];
  if (rule === undefined) return { allowed: verdicts.defaultAction === 'allow' };
  return { allowed: rule.action === 'allow', rule };
}

function firstMatch(verdicts: Verdicts, positions: readonly number[] | undefined, sourceDatacenter?: string): number {
  for (const at of positions ?? NONE) {
    const named = (verdicts.rules[at] as VerdictRule).sourceDatacenter;
    if (named === undefined || named === sourceDatacenter) return at;
  }
  return Number.POSITIVE_INFINITY;
}
