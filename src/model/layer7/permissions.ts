import type { IntentionAction } from '../intention.ts';
import { foldName } from '../names.ts';
import { matchesRequest, type RequestMatch } from './match.ts';
import type { HttpRequest } from './request.ts';

/**
 * Who may do what with a service, request by request: the one compiled form of its intentions. Envoy's rules are built
 * from it, and the built-in sidecar asks it.
 */
export interface PermissionRules {
  readonly destination: string;
  readonly destinationDatacenter: string;
  /**
   * What decides first comes first. The first rule that matches the caller decides; after it nothing but the default.
   */
  readonly rules: readonly PermissionRule[];
  readonly defaultAction: IntentionAction;
  readonly revision: number;
}

export interface PermissionRule {
  /** Source service, or '*'. */
  readonly source: string;
  /** Absent: any. */
  readonly sourceDatacenter?: string;
  /** The service, or '*'. */
  readonly destination: string;
  readonly destinationDatacenter?: string;
  readonly precedence: number;
  readonly revision: number;
  readonly id?: string;
  /** A token that each request needs before anything is allowed by this rule. A rule that denies needs none. */
  readonly token?: TokenRequirement;
  /** For all requests, or by the first permission that matches; when none does, the default. */
  readonly decision: IntentionAction | readonly Permission[];
}

export interface Permission {
  readonly action: IntentionAction;
  readonly match: RequestMatch;
  /** Without such a token the permission does not match. */
  readonly token?: TokenRequirement;
}

/** A valid token of one of the providers, with all of the claims that are listed there. */
export interface TokenRequirement {
  readonly providers: readonly TokenProvider[];
}

export interface TokenProvider {
  /** Name of the `jwt-provider` entry. */
  readonly name: string;
  readonly claims: readonly ClaimMatch[];
}

/** The claim at `path` is this text, or a list that has it. */
export interface ClaimMatch {
  readonly path: readonly string[];
  readonly value: string;
}

export interface PermissionQuestion {
  /** Service and datacenter of the caller's certificate. */
  readonly service: string;
  readonly datacenter: string;
  /** Normalised as the mesh entry says. */
  readonly request: HttpRequest;
  /** Payloads of the tokens that were found valid, by provider. */
  readonly tokens: ReadonlyMap<string, unknown>;
}

export type PermissionVerdict = { readonly allowed: boolean } & (
  | { readonly by: 'default' }
  | { readonly by: 'rule'; readonly rule: PermissionRule }
  /** @property at place of the permission in its rule */
  | { readonly by: 'permission'; readonly rule: PermissionRule; readonly at: number }
  /** No permission of the rule matched, so that the default decided. */
  | { readonly by: 'no permission'; readonly rule: PermissionRule }
  /** The rule needs a token that the request does not have. */
  | { readonly by: 'token'; readonly rule: PermissionRule }
);

export function evaluatePermissions(rules: PermissionRules, question: PermissionQuestion): PermissionVerdict {
  const rule = ruleFor(rules, question.service, question.datacenter);
  const allowed = rules.defaultAction === 'allow';
  if (rule === undefined) return { allowed, by: 'default' };
  if (rule.decision === 'deny') return { allowed: false, by: 'rule', rule };
  if (rule.token !== undefined && !satisfies(rule.token, question.tokens)) return { allowed: false, by: 'token', rule };
  if (rule.decision === 'allow') return { allowed: true, by: 'rule', rule };
  for (const [at, { action, match, token }] of rule.decision.entries()) {
    if (!matchesRequest(match, question.request)) continue;
    if (token !== undefined && !satisfies(token, question.tokens)) continue;
    return { allowed: action === 'allow', by: 'permission', rule, at };
  }
  return { allowed, by: 'no permission', rule };
}

/** The rule that decides for a caller, when there is one. */
function ruleFor(rules: PermissionRules, service: string, datacenter?: string): PermissionRule | undefined {
  const source = foldName(service);
  const from = datacenter === undefined ? undefined : foldName(datacenter);
  return rules.rules.find(
    (rule) =>
      (rule.source === source || rule.source === '*') &&
      (rule.sourceDatacenter === undefined || rule.sourceDatacenter === from),
  );
}

/** What can be said of a connection before there is a request. `deny`: no request on it could be allowed. */
export type ConnectionVerdict = 'allow' | 'deny' | 'by request';

export function connectionVerdict(rules: PermissionRules, service: string, datacenter?: string): ConnectionVerdict {
  const rule = ruleFor(rules, service, datacenter);
  if (rule === undefined) return rules.defaultAction;
  if (rule.decision === 'deny') return 'deny';
  if (typeof rule.decision === 'string') return rule.token === undefined ? rule.decision : 'by request';
  const any = rules.defaultAction === 'allow' || rule.decision.some(({ action }) => action === 'allow');
  return any ? 'by request' : 'deny';
}

/** Names of the `jwt-provider` entries that the rules need, sorted. */
export function providersOf(rules: PermissionRules): readonly string[] {
  const names = new Set<string>();
  const add = (token: TokenRequirement | undefined): void => {
    for (const { name } of token?.providers ?? []) names.add(name);
  };
  for (const { token, decision } of rules.rules) {
    add(token);
    if (typeof decision !== 'string') for (const permission of decision) add(permission.token);
  }
  return [...names].sort();
}

function satisfies(requirement: TokenRequirement, tokens: ReadonlyMap<string, unknown>): boolean {
  return requirement.providers.some(
    ({ name, claims }) => tokens.has(name) && claims.every((claim) => hasClaim(tokens.get(name), claim)),
  );
}

function hasClaim(payload: unknown, { path, value }: ClaimMatch): boolean {
  let found = payload;
  for (const step of path) {
    if (typeof found !== 'object' || found === null || Array.isArray(found) || !Object.hasOwn(found, step))
      return false;
    found = (found as Readonly<Record<string, unknown>>)[step];
  }
  return Array.isArray(found) ? found.includes(value) : found === value;
}
