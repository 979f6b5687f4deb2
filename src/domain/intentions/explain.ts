import type { Explanation, VerdictRule, Verdicts } from '../../model/intention.ts';
import { compilePermissions } from '../../model/layer7/compile-permissions.ts';
import { evaluatePermissions, type PermissionVerdict } from '../../model/layer7/permissions.ts';
import type { ExplainedRequest, IntentionPair } from '../../model/requests.ts';
import { matchingRules } from '../../model/verdicts.ts';

export interface ExplainContext {
  readonly verdicts: Verdicts;
  /** Datacenter that answers. */
  readonly datacenter: string;
  /** Datacenters that the destination's entry is limited to, if it is. */
  readonly entryDatacenters: readonly string[] | undefined;
}

/** Says which rule decides about a connection, why, what else matched, and what would allow it. */
export function explain(pair: IntentionPair, context: ExplainContext, request?: ExplainedRequest): Explanation {
  const { verdicts } = context;
  const [rule, ...shadowed] = matchingRules(verdicts, pair.source, pair.sourceDatacenter || undefined);
  const byRequest = rule?.requests !== undefined;
  const verdict = byRequest && request !== undefined ? evaluated(pair, verdicts, request) : undefined;
  const allowed = verdict?.allowed ?? (rule?.action ?? verdicts.defaultAction) === 'allow';
  return {
    Source: pair.source,
    ...(pair.sourceDatacenter ? { SourceDatacenter: pair.sourceDatacenter } : {}),
    Destination: pair.destination,
    DestinationDatacenter: verdicts.destinationDatacenter,
    Allowed: allowed,
    Reason: verdict === undefined ? reasonOf(rule, verdicts) : requestReason(rule as VerdictRule, verdict, verdicts),
    ...(rule === undefined ? {} : { Rule: rule }),
    ...(byRequest ? { ByRequest: true as const } : {}),
    ...(verdict?.by === 'permission' ? { Permission: verdict.at } : {}),
    DefaultAction: verdicts.defaultAction,
    Revision: verdicts.revision,
    Datacenter: context.datacenter,
    Shadowed: shadowed,
    ...(allowed || byRequest ? {} : { ToAllow: toAllow(pair, rule, context) }),
  };
}

function reasonOf(rule: VerdictRule | undefined, verdicts: Verdicts): string {
  if (rule === undefined) return `No intention matches; the default policy is ${verdicts.defaultAction}.`;
  const what =
    rule.requests === undefined ? `${rule.action === 'allow' ? 'allows' : 'denies'} it` : byRequestText(rule);
  return `The intention ${describeRule(rule)} ${what} (precedence ${rule.precedence}, revision ${rule.revision}).`;
}

/** Without tokens: what they hold only the sidecar sees. */
function evaluated(pair: IntentionPair, verdicts: Verdicts, request: ExplainedRequest): PermissionVerdict {
  const { method = 'GET', path, headers = [] } = request;
  const lines = headers.map((line): readonly [string, string] => {
    const colon = line.indexOf(':');
    return [line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim()];
  });
  return evaluatePermissions(compilePermissions(verdicts), {
    service: pair.source,
    datacenter: pair.sourceDatacenter ?? '',
    request: { method, path, authority: pair.destination, headers: lines },
    tokens: new Map(),
  });
}

function byRequestText({ permissions = 0, requests }: VerdictRule): string {
  const token = requests?.JWT === undefined ? '' : ' that have a valid token';
  if (permissions === 0) return `allows the requests${token}; a connection alone can't be decided`;
  const many = `${permissions} permission${permissions === 1 ? '' : 's'}`;
  return `decides each of the requests${token} by ${many}; a connection alone can't be decided`;
}

function requestReason(rule: VerdictRule, verdict: PermissionVerdict, verdicts: Verdicts): string {
  const where = `The intention ${describeRule(rule)}`;
  const behind = `(precedence ${rule.precedence}, revision ${rule.revision})`;
  const needs = (rule.requests?.Permissions ?? []).some(({ JWT }) => JWT !== undefined)
    ? ' Permissions that need a token were left out: a request with one may be decided otherwise.'
    : '';
  switch (verdict.by) {
    case 'permission':
      return (
        `${where} ${verdict.allowed ? 'allows' : 'denies'} it by its permission ${verdict.at + 1} ` +
        `${behind}.${needs}`
      );
    case 'token':
      return `${where} needs a valid token, which is not looked at here ${behind}.`;
    default:
      return (
        `No permission of the intention ${describeRule(rule)} matches it; the default policy is ` +
        `${verdicts.defaultAction} ${behind}.${needs}`
      );
  }
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
