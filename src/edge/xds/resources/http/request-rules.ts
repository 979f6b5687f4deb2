import { create, type MessageInitShape } from '@bufbuild/protobuf';
import type { Verdicts } from '../../../../model/intention.ts';
import { compilePermissions } from '../../../../model/layer7/compile-permissions.ts';
import type { RequestMatch } from '../../../../model/layer7/match.ts';
import type {
  ClaimMatch,
  PermissionRule,
  PermissionRules,
  Permission as RequestPermission,
  TokenRequirement,
} from '../../../../model/layer7/permissions.ts';
import { isRequestProtocol } from '../../../../model/layer7/route-table.ts';
import { TypedExtensionConfigSchema } from '../../gen/envoy/config/core/v3/extension_pb.ts';
import {
  type Permission,
  PermissionSchema,
  type Policy,
  PolicySchema,
  RBAC_Action,
} from '../../gen/envoy/config/rbac/v3/rbac_pb.ts';
import { RBACSchema } from '../../gen/envoy/extensions/filters/http/rbac/v3/rbac_pb.ts';
import { MetadataMatcherSchema } from '../../gen/envoy/type/matcher/v3/metadata_pb.ts';
import { PathMatcherSchema } from '../../gen/envoy/type/matcher/v3/path_pb.ts';
import type { ValueMatcher } from '../../gen/envoy/type/matcher/v3/value_pb.ts';
import { ValueMatcherSchema } from '../../gen/envoy/type/matcher/v3/value_pb.ts';
import { pack, resource } from '../../resource.ts';
import type { ResourceBuilder } from '../builder.ts';
import { REQUEST_RULES } from '../names.ts';
import { butFor, overlaps, policyName, principalOf } from '../network-rules.ts';
import { oncePer } from '../once.ts';
import { headerMatcher, methodMatcher, pathMatcher } from './matchers.ts';
import { payloadOf, TOKENS_FILTER } from './request-tokens.ts';

/** Who may do what with the service, request by request. */
export const requestRules: ResourceBuilder = {
  inputs: (snapshot) => [snapshot.verdicts, snapshot.protocol, snapshot.roots.TrustDomain],
  build: ({ verdicts, protocol, roots }) => (isRequestProtocol(protocol) ? [rulesOf(verdicts, roots.TrustDomain)] : []),
};

const rulesOf = oncePer((verdicts: Verdicts, trustDomain) => {
  const rules = compilePermissions(verdicts);
  const rbac = create(RBACSchema, {
    rules: {
      // Without any policy ALLOW refuses all and DENY lets all in: that is what the default is then.
      action: rules.defaultAction === 'allow' ? RBAC_Action.DENY : RBAC_Action.ALLOW,
      policies: requestPolicies(rules, trustDomain),
    },
  });
  const config = create(TypedExtensionConfigSchema, { name: REQUEST_RULES, typedConfig: pack(RBACSchema, rbac) });
  return resource('extension', REQUEST_RULES, TypedExtensionConfigSchema, config);
});

/**
 * A policy for each rule that decides something against the default: its sources, but for those that a rule before it
 * matches, and the requests about which it decides so.
 */
export function requestPolicies(
  { rules, defaultAction }: PermissionRules,
  trustDomain: string,
): Readonly<Record<string, Policy>> {
  const made: Record<string, Policy> = {};
  for (const [at, rule] of rules.entries()) {
    const requests = defaultAction === 'allow' ? denied(rule) : permitted(rule);
    if (requests === NONE) continue;
    const before = rules.slice(0, at).filter((earlier) => overlaps(earlier, rule));
    made[policyName(rule, at)] = create(PolicySchema, {
      permissions: [requests],
      principals: [
        butFor(
          principalOf(rule, trustDomain),
          before.map((each) => principalOf(each, trustDomain)),
        ),
      ],
    });
  }
  return made;
}

/** Requests that a rule allows. */
function permitted({ decision, token }: PermissionRule): Requests {
  if (decision === 'deny') return NONE;
  return all([token === undefined ? ANY : satisfied(token), decision === 'allow' ? ANY : first(decision, 'allow')]);
}

/** Requests that a rule denies. */
function denied({ decision, token }: PermissionRule): Requests {
  if (decision === 'deny') return ANY;
  return any([
    token === undefined ? NONE : not(satisfied(token)),
    decision === 'allow' ? NONE : first(decision, 'deny'),
  ]);
}

/** Requests about which the first permission that matches says this. */
function first(permissions: readonly RequestPermission[], action: RequestPermission['action']): Requests {
  const chosen: Requests[] = [];
  const others: Requests[] = [];
  for (const permission of permissions) {
    const asked = all([matched(permission.match), permission.token === undefined ? ANY : satisfied(permission.token)]);
    if (asked === NONE) continue;
    if (permission.action === action) chosen.push(all([asked, ...others.map(not)]));
    else others.push(asked);
  }
  return any(chosen);
}

function matched({ path, headers, methods }: RequestMatch): Requests {
  return all([
    ...(path === undefined
      ? []
      : [
          create(PermissionSchema, {
            rule: {
              case: 'urlPath',
              value: create(PathMatcherSchema, { rule: { case: 'path', value: pathMatcher(path) } }),
            },
          }),
        ]),
    ...[...headers.map(headerMatcher), ...(methods.length === 0 ? [] : [methodMatcher(methods)])].map((header) =>
      create(PermissionSchema, { rule: { case: 'header', value: header } }),
    ),
  ]);
}

function satisfied({ providers }: TokenRequirement): Requests {
  return any(
    providers.map(({ name, claims }) =>
      claims.length === 0
        ? metadata([payloadOf(name)], { case: 'presentMatch', value: true })
        : all(claims.map((claim) => hasClaim(name, claim))),
    ),
  );
}

/** The text itself, or a list that has it. */
function hasClaim(provider: string, { path, value }: ClaimMatch): Permission {
  const text = create(ValueMatcherSchema, {
    matchPattern: { case: 'stringMatch', value: { matchPattern: { case: 'exact', value } } },
  });
  const list = create(ValueMatcherSchema, {
    matchPattern: { case: 'listMatch', value: { matchPattern: { case: 'oneOf', value: text } } },
  });
  return metadata([payloadOf(provider), ...path], { case: 'orMatch', value: { valueMatchers: [text, list] } });
}

function metadata(
  path: readonly string[],
  matchPattern: NonNullable<Exclude<MessageInitShape<typeof ValueMatcherSchema>, ValueMatcher>['matchPattern']>,
): Permission {
  return create(PermissionSchema, {
    rule: {
      case: 'metadata',
      value: create(MetadataMatcherSchema, {
        filter: TOKENS_FILTER,
        path: path.map((key) => ({ segment: { case: 'key' as const, value: key } })),
        value: create(ValueMatcherSchema, { matchPattern }),
      }),
    },
  });
}

/** What a policy is about: some requests, or none at all. */
type Requests = Permission | typeof NONE;
const NONE = 'none';
const ANY = create(PermissionSchema, { rule: { case: 'any', value: true } });

function all(rules: readonly Requests[]): Requests {
  if (rules.includes(NONE)) return NONE;
  const needed = rules.filter((rule): rule is Permission => rule !== NONE && rule !== ANY);
  const [only] = needed;
  if (only === undefined) return ANY;
  return needed.length === 1
    ? only
    : create(PermissionSchema, { rule: { case: 'andRules', value: { rules: needed } } });
}

function any(rules: readonly Requests[]): Requests {
  if (rules.includes(ANY)) return ANY;
  const enough = rules.filter((rule): rule is Permission => rule !== NONE);
  const [only] = enough;
  if (only === undefined) return NONE;
  return enough.length === 1 ? only : create(PermissionSchema, { rule: { case: 'orRules', value: { rules: enough } } });
}

function not(rule: Requests): Requests {
  if (rule === NONE) return ANY;
  if (rule === ANY) return NONE;
  return create(PermissionSchema, { rule: { case: 'notRule', value: rule } });
}
