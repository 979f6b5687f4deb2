import type { Explanation, VerdictRule, Verdicts } from '../../model/intention.ts';
import type { IntentionPair } from '../../model/requests.ts';
import { matchingRules } from '../../model/verdicts.ts';

export interface ExplainContext {
  readonly verdicts: Verdicts;
  /** Datacenter that answers. */
  readonly datacenter: string;
  /** Datacenters that the destination's entry is limited to, if it is. */
  readonly entryDatacenters: readonly string[] | undefined;
}

/** Says which rule decides about a connection, why, what else matched, and what would allow it. */
export function explain(pair: IntentionPair, context: ExplainContext): Explanation {
  const { verdicts } = context;
  const [rule, ...shadowed] = matchingRules(verdicts, pair.source, pair.sourceDatacenter || undefined);
  const allowed = (rule?.action ?? verdicts.defaultAction) === 'allow';
  return {
    Source: pair.source,
    ...(pair.sourceDatacenter ? { SourceDatacenter: pair.sourceDatacenter } : {}),
    Destination: pair.destination,
    DestinationDatacenter: verdicts.destinationDatacenter,
    Allowed: allowed,
    Reason: reasonOf(rule, verdicts),
    ...(rule === undefined ? {} : { Rule: rule }),
    DefaultAction: verdicts.defaultAction,
    Revision: verdicts.revision,
    Datacenter: context.datacenter,
    Shadowed: shadowed,
    ...(allowed ? {} : { ToAllow: toAllow(pair, rule, context) }),
  };
}

function reasonOf(rule: VerdictRule | undefined, verdicts: Verdicts): string {
  if (rule === undefined) return `No intention matches; the default policy is ${verdicts.defaultAction}.`;
  const what =
    rule.permissions === undefined
      ? `${rule.action === 'allow' ? 'allows' : 'denies'} it`
      : `has ${rule.permissions} permissions for requests, which can't be decided on a connection, so it is denied`;
  return `The intention ${describeRule(rule)} ${what} (precedence ${rule.precedence}, revision ${rule.revision}).`;
}

/** `web@dc1 => db`: a name without a datacenter means any. */
function describeRule(rule: VerdictRule): string {
  return `${at(rule.source, rule.sourceDatacenter)} => ${at(rule.destination, rule.destinationDatacenter)}`;
}

function at(name: string, datacenter: string | undefined): string {
  return datacenter === undefined ? name : `${name}@${datacenter}`;
}

/** The deciding rule is turned round when it names both services; otherwise a more specific one goes before it. */
function toAllow(pair: IntentionPair, rule: VerdictRule | undefined, context: ExplainContext): string {
  const exact = rule !== undefined && rule.source === pair.source && rule.destination === pair.destination;
  const destinationDatacenter = exact
    ? rule.destinationDatacenter
    : context.entryDatacenters && context.verdicts.destinationDatacenter;
  const words = ['isthmus intention create -allow'];
  if (exact) words.push('-replace');
  if (exact && rule.sourceDatacenter !== undefined) words.push(`-source-datacenter=${rule.sourceDatacenter}`);
  if (destinationDatacenter !== undefined) words.push(`-destination-datacenter=${destinationDatacenter}`);
  return [...words, quote(pair.source), quote(pair.destination)].join(' ');
}

/** A shell must not expand the wildcard. */
function quote(name: string): string {
  return /^[\w.-]+$/.test(name) ? name : `'${name.replaceAll("'", String.raw`'\''`)}'`;
}
