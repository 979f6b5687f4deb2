import { create } from '@bufbuild/protobuf';
import type { VerdictRule, Verdicts } from '../../../model/intention.ts';
import { isRequestProtocol } from '../../../model/layer7/route-table.ts';
import { TypedExtensionConfigSchema } from '../gen/envoy/config/core/v3/extension_pb.ts';
import {
  type Policy,
  PolicySchema,
  type Principal,
  PrincipalSchema,
  RBAC_Action,
} from '../gen/envoy/config/rbac/v3/rbac_pb.ts';
import { RBACSchema } from '../gen/envoy/extensions/filters/network/rbac/v3/rbac_pb.ts';
import { pack, resource } from '../resource.ts';
import type { ResourceBuilder } from './builder.ts';
import { identityPattern, regex } from './identity.ts';
import { NETWORK_RULES } from './names.ts';
import { oncePer } from './once.ts';

/** Who may connect to the service, as rules about the identity in the caller's certificate. */
export const networkRules: ResourceBuilder = {
  inputs: (snapshot) => [snapshot.verdicts, snapshot.protocol, snapshot.roots.TrustDomain],
  build: ({ verdicts, protocol, roots }) => (isRequestProtocol(protocol) ? [] : [rulesOf(verdicts, roots.TrustDomain)]),
};

const rulesOf = oncePer((verdicts: Verdicts, trustDomain) => {
  const allows = verdicts.defaultAction === 'allow';
  const rbac = create(RBACSchema, {
    statPrefix: 'connect_authz',
    rules: {
      // Without any policy ALLOW refuses all and DENY lets all in: that is what the default is then.
      action: allows ? RBAC_Action.DENY : RBAC_Action.ALLOW,
      policies: policies(verdicts, trustDomain),
    },
  });
  const config = create(TypedExtensionConfigSchema, { name: NETWORK_RULES, typedConfig: pack(RBACSchema, rbac) });
  return resource('extension', NETWORK_RULES, TypedExtensionConfigSchema, config);
});

/**
 * A policy for each rule that decides against the default: its sources, but for those that a rule before it decides for
 * the default. So the first rule that matches decides, as everywhere.
 */
export function policies({ rules, defaultAction }: Verdicts, trustDomain: string): Readonly<Record<string, Policy>> {
  const made: Record<string, Policy> = {};
  const before: VerdictRule[] = [];
  for (const [at, rule] of rules.entries()) {
    if (rule.action === defaultAction) {
      before.push(rule);
      continue;
    }
    const excepted = before.filter((earlier) => overlaps(earlier, rule));
    made[policyName(rule, at)] = create(PolicySchema, {
      permissions: [{ rule: { case: 'any', value: true } }],
      principals: [
        butFor(
          principalOf(rule, trustDomain),
          excepted.map((each) => principalOf(each, trustDomain)),
        ),
      ],
    });
  }
  return made;
}

type Rule = Pick<VerdictRule, 'source' | 'sourceDatacenter' | 'precedence'>;

/** Sorts as the rules do: Envoy's order of the policies is that of their names. */
export function policyName({ source, sourceDatacenter, precedence }: Rule, at: number): string {
  const from = sourceDatacenter === undefined ? source : `${source} in ${sourceDatacenter}`;
  return `${String(at).padStart(4, '0')} ${from} (precedence ${precedence})`;
}

export function principalOf({ source, sourceDatacenter }: Rule, trustDomain: string): Principal {
  const pattern = identityPattern(trustDomain, source === '*' ? undefined : source, sourceDatacenter);
  return create(PrincipalSchema, {
    identifier: {
      case: 'authenticated',
      value: { principalName: { matchPattern: { case: 'safeRegex', value: regex(pattern) } } },
    },
  });
}

export function butFor(principal: Principal, excepted: readonly Principal[]): Principal {
  if (excepted.length === 0) return principal;
  const not = excepted.map((id) => create(PrincipalSchema, { identifier: { case: 'notId', value: id } }));
  return create(PrincipalSchema, { identifier: { case: 'andIds', value: { ids: [principal, ...not] } } });
}

/** Some source matches both. */
export function overlaps(a: Rule, b: Rule): boolean {
  return overlap(a.source, b.source, '*') && overlap(a.sourceDatacenter, b.sourceDatacenter, undefined);
}

function overlap<T>(a: T, b: T, any: T): boolean {
  return a === b || a === any || b === any;
}
