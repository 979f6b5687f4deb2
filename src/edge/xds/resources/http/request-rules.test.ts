import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TRUST_DOMAIN } from '../../../../../test/fakes/ca-roots.ts';
import { matchesWhole } from '../../../../model/layer7/pattern.ts';
import type { PermissionRule, PermissionRules, TokenRequirement } from '../../../../model/layer7/permissions.ts';
import { evaluatePermissions } from '../../../../model/layer7/permissions.ts';
import type { HttpRequest } from '../../../../model/layer7/request.ts';
import type { Permission, Principal } from '../../gen/envoy/config/rbac/v3/rbac_pb.ts';
import type { StringMatcher } from '../../gen/envoy/type/matcher/v3/string_pb.ts';
import type { ValueMatcher } from '../../gen/envoy/type/matcher/v3/value_pb.ts';
import { identityOf } from '../identity.ts';
import { requestPolicies } from './request-rules.ts';

/** As Envoy evaluates what is made here; real Envoys are asked in test/e2e/envoy-requests.test.ts. */
interface Asked {
  readonly uri: string;
  readonly request: HttpRequest;
  readonly metadata: Readonly<Record<string, unknown>>;
}

function text({ matchPattern }: StringMatcher, given: string): boolean {
  if (matchPattern.case === 'exact') return matchPattern.value === given;
  if (matchPattern.case === 'prefix') return given.startsWith(matchPattern.value);
  if (matchPattern.case === 'safeRegex') return matchesWhole(matchPattern.value.regex, given);
  throw new Error(`not made here: ${matchPattern.case}`);
}

function value({ matchPattern }: ValueMatcher, given: unknown): boolean {
  switch (matchPattern.case) {
    case 'presentMatch':
      return given !== undefined;
    case 'stringMatch':
      return typeof given === 'string' && text(matchPattern.value, given);
    case 'listMatch': {
      const one = matchPattern.value.matchPattern;
      return Array.isArray(given) && one.case === 'oneOf' && given.some((each) => value(one.value, each));
    }
    case 'orMatch':
      return matchPattern.value.valueMatchers.some((each) => value(each, given));
    default:
      throw new Error(`not made here: ${matchPattern.case}`);
  }
}

function permits({ rule }: Permission, asked: Asked): boolean {
  switch (rule.case) {
    case 'any':
      return true;
    case 'andRules':
      return rule.value.rules.every((each) => permits(each, asked));
    case 'orRules':
      return rule.value.rules.some((each) => permits(each, asked));
    case 'notRule':
      return !permits(rule.value, asked);
    case 'urlPath':
      return rule.value.rule.case === 'path' && text(rule.value.rule.value, asked.request.path);
    case 'header': {
      const { name, headerMatchSpecifier: match } = rule.value;
      expect(name).toBe(':method');
      return match.case === 'stringMatch' && text(match.value, asked.request.method);
    }
    case 'metadata': {
      let found: unknown = asked.metadata;
      for (const { segment } of rule.value.path)
        found = (found as Readonly<Record<string, unknown>> | undefined)?.[String(segment.value)];
      return rule.value.value !== undefined && value(rule.value.value, found);
    }
    default:
      throw new Error(`not made here: ${rule.case}`);
  }
}

function isFrom({ identifier }: Principal, uri: string): boolean {
  switch (identifier.case) {
    case 'authenticated': {
      const matcher = identifier.value.principalName;
      return matcher !== undefined && text(matcher, uri);
    }
    case 'notId':
      return !isFrom(identifier.value, uri);
    case 'andIds':
      return identifier.value.ids.every((id) => isFrom(id, uri));
    default:
      throw new Error(`not made here: ${identifier.case}`);
  }
}

function allowed(rules: PermissionRules, asked: Asked): boolean {
  const matched = Object.values(requestPolicies(rules, TRUST_DOMAIN)).some(
    ({ permissions, principals }) =>
      principals.some((each) => isFrom(each, asked.uri)) && permissions.some((each) => permits(each, asked)),
  );
  return rules.defaultAction === 'allow' ? !matched : matched;
}

const action = fc.constantFrom('allow' as const, 'deny' as const);
const token: fc.Arbitrary<TokenRequirement> = fc.record({
  providers: fc.array(
    fc.record({
      name: fc.constantFrom('a', 'b'),
      claims: fc.array(fc.constantFrom({ path: ['role'], value: 'admin' }, { path: ['in', 'groups'], value: 'ops' }), {
        maxLength: 2,
      }),
    }),
    { minLength: 1, maxLength: 2 },
  ),
});
const permission = fc.record(
  {
    action,
    match: fc.record(
      {
        path: fc.constantFrom(
          { type: 'exact' as const, value: '/a' },
          { type: 'prefix' as const, value: '/a' },
          { type: 'prefix' as const, value: '' },
          { type: 'regex' as const, value: '/[ab]|/b/c' },
        ),
        headers: fc.constant([]),
        query: fc.constant([]),
        methods: fc.constantFrom([], ['GET'], ['GET', 'PUT']),
      },
      { requiredKeys: ['headers', 'query', 'methods'] },
    ),
    token,
  },
  { requiredKeys: ['action', 'match'] },
);
const rule = fc.record(
  {
    source: fc.constantFrom('*', 'web', 'api'),
    sourceDatacenter: fc.constantFrom('dc1', 'dc2'),
    token,
    decision: fc.oneof(action, fc.array(permission, { minLength: 1, maxLength: 3 })),
  },
  { requiredKeys: ['source', 'decision'] },
);
const TOKENS: readonly Readonly<Record<string, unknown>>[] = [
  {},
  { a: {} },
  { a: { role: 'admin' } },
  { b: { role: ['x', 'admin'], in: { groups: 'ops' } } },
  { a: { role: 'other' }, b: { in: { groups: ['ops'] } } },
];

describe('rules about requests', () => {
  it('decide as the permissions do, whoever asks for what with which tokens', () => {
    fc.assert(
      fc.property(fc.array(rule, { maxLength: 4 }), action, (given, defaultAction) => {
        const rules: PermissionRules = {
          destination: 'db',
          destinationDatacenter: 'dc1',
          defaultAction,
          revision: 1,
          rules: given.map(
            (each, at): PermissionRule => ({ ...each, destination: 'db', precedence: 9 - at, revision: 1 }),
          ),
        };
        for (const service of ['web', 'api', 'other'])
          for (const datacenter of ['dc1', 'dc2'])
            for (const path of ['/a', '/ab', '/b/c', '/c'])
              for (const method of ['GET', 'PUT', 'POST'])
                for (const tokens of TOKENS) {
                  const request = { method, path, authority: 'db', headers: [] };
                  const metadata = Object.fromEntries(
                    Object.entries(tokens).map(([name, payload]) => [`jwt_payload_${name}`, payload]),
                  );
                  const uri = identityOf(service, datacenter, TRUST_DOMAIN);
                  const verdict = evaluatePermissions(rules, {
                    service,
                    datacenter,
                    request,
                    tokens: new Map(Object.entries(tokens)),
                  });
                  expect(allowed(rules, { uri, request, metadata })).toBe(verdict.allowed);
                }
      }),
      { numRuns: 25 },
    );
  });
});
