import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TRUST_DOMAIN } from '../../../../test/fakes/ca-roots.ts';
import type { VerdictRule, Verdicts } from '../../../model/intention.ts';
import { decide } from '../../../model/verdicts.ts';
import type { Principal } from '../gen/envoy/config/rbac/v3/rbac_pb.ts';
import { identityOf } from './identity.ts';
import { policies } from './network-rules.ts';

/** As Envoy evaluates a principal: regular expressions match the whole text. */
function matches({ identifier }: Principal, uri: string): boolean {
  switch (identifier.case) {
    case 'authenticated': {
      const pattern = identifier.value.principalName?.matchPattern;
      return pattern?.case === 'safeRegex' && new RegExp(`^(?:${pattern.value.regex})$`).test(uri);
    }
    case 'notId':
      return !matches(identifier.value, uri);
    case 'andIds':
      return identifier.value.ids.every((id) => matches(id, uri));
    default:
      throw new Error(`not made here: ${identifier.case}`);
  }
}

function allowed(verdicts: Verdicts, uri: string): boolean {
  const made = Object.values(policies(verdicts, TRUST_DOMAIN));
  const matched = made.some(({ principals }) => principals.some((principal) => matches(principal, uri)));
  return verdicts.defaultAction === 'allow' ? !matched : matched;
}

const NAMES = ['web', 'api', 'w.b', 'web-2'];
const DATACENTERS = ['dc1', 'dc2'];
const rule = fc.record({
  source: fc.constantFrom('*', ...NAMES),
  sourceDatacenter: fc.constantFrom(undefined, ...DATACENTERS),
  action: fc.constantFrom('allow' as const, 'deny' as const),
});

describe('rules about connections', () => {
  it('decide as the verdicts do, whatever their order', () => {
    fc.assert(
      fc.property(
        fc.array(rule, { maxLength: 6 }),
        fc.constantFrom('allow' as const, 'deny' as const),
        (rules, defaultAction) => {
          const verdicts: Verdicts = {
            destination: 'db',
            destinationDatacenter: 'dc1',
            rules: rules.map(
              ({ sourceDatacenter, ...rest }, at): VerdictRule => ({
                ...rest,
                ...(sourceDatacenter === undefined ? {} : { sourceDatacenter }),
                destination: 'db',
                precedence: 9 - at,
                revision: 1,
              }),
            ),
            defaultAction,
            revision: 1,
          };
          for (const name of [...NAMES, 'wxb', 'other'])
            for (const datacenter of [...DATACENTERS, 'dc3'])
              expect(allowed(verdicts, identityOf(name, datacenter, TRUST_DOMAIN))).toBe(
                decide(verdicts, name, datacenter).allowed,
              );
        },
      ),
      { numRuns: 500 },
    );
  });

  it('let in no service of another trust domain, no agent, and no longer text', () => {
    const verdicts: Verdicts = {
      destination: 'db',
      destinationDatacenter: 'dc1',
      rules: [{ source: '*', destination: 'db', action: 'allow', precedence: 8, revision: 1 }],
      defaultAction: 'deny',
      revision: 1,
    };
    expect(allowed(verdicts, identityOf('web', 'dc1', TRUST_DOMAIN))).toBe(true);
    for (const uri of [
      identityOf('web', 'dc1', 'other.consul'),
      `spiffe://${TRUST_DOMAIN}/agent/client/dc/dc1/id/n1`,
      `${identityOf('web', 'dc1', TRUST_DOMAIN)}/more`,
      `x${identityOf('web', 'dc1', TRUST_DOMAIN)}`,
    ])
      expect(allowed(verdicts, uri)).toBe(false);
  });
});
