import type { IntentionPermission, JwtFields, VerdictRule, Verdicts } from '../intention.ts';
import { foldName } from '../names.ts';
import { compileJwtProvider, type JwtProvider } from './jwt-provider.ts';
import { compileMatch } from './match.ts';
import type { Permission, PermissionRule, PermissionRules, TokenRequirement } from './permissions.ts';

const COMPILED = new WeakMap<Verdicts, PermissionRules>();

/**
 * The rules about requests that verdicts hold. A rule of a server that does not say what its permissions are denies: it
 * says so itself. Compiled once for each version of the verdicts.
 */
export function compilePermissions(verdicts: Verdicts): PermissionRules {
  let rules = COMPILED.get(verdicts);
  if (rules === undefined) {
    const { destination, destinationDatacenter, defaultAction, revision } = verdicts;
    rules = { destination, destinationDatacenter, defaultAction, revision, rules: verdicts.rules.map(ruleOf) };
    COMPILED.set(verdicts, rules);
  }
  return rules;
}

/** By name, the issuers of the tokens that the rules need; a token of one that is not here is never valid. */
export function compileProviders({ providers = [] }: Verdicts): ReadonlyMap<string, JwtProvider> {
  return new Map(providers.map((entry) => [entry.Name, compileJwtProvider(entry)]));
}

function ruleOf(rule: VerdictRule): PermissionRule {
  const { source, sourceDatacenter, destination, destinationDatacenter, precedence, revision, id, requests } = rule;
  return {
    source: foldName(source),
    ...(sourceDatacenter === undefined ? {} : { sourceDatacenter }),
    destination,
    ...(destinationDatacenter === undefined ? {} : { destinationDatacenter }),
    precedence,
    revision,
    ...(id === undefined ? {} : { id }),
    ...(requests?.JWT === undefined ? {} : { token: requirementOf(requests.JWT) }),
    decision: requests === undefined ? rule.action : (requests.Permissions?.map(permissionOf) ?? 'allow'),
  };
}

function permissionOf({ Action, HTTP, JWT }: IntentionPermission): Permission {
  return {
    action: Action === 'allow' ? 'allow' : 'deny',
    match: compileMatch(HTTP),
    ...(JWT === undefined ? {} : { token: requirementOf(JWT) }),
  };
}

function requirementOf({ Providers = [] }: JwtFields): TokenRequirement {
  return {
    providers: Providers.map(({ Name = '', VerifyClaims = [] }) => ({
      name: Name,
      claims: VerifyClaims.map(({ Path = [], Value = '' }) => ({ path: Path, value: Value })),
    })),
  };
}
