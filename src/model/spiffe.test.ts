import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { IsthmusError } from '../lib/errors.ts';
import { tryDatacenter, tryName } from './names.ts';
import { formatSpiffe, parseSpiffe, type SpiffeIdentity, tryParseSpiffe } from './spiffe.ts';

const DOMAIN = 'f3f948f5-bd25-8329-8efb-d149dc61a619.consul';

/** In their canonical form. */
const name = fc
  .string({ unit: 'binary', minLength: 1, maxLength: 100 })
  .map(tryName)
  .filter((text) => text !== undefined);
const datacenter = fc
  .string({ unit: fc.constantFrom(...'abc019-_'), minLength: 1, maxLength: 63 })
  .map((text) => tryDatacenter(text) as string);

const identity: fc.Arbitrary<SpiffeIdentity> = fc.oneof(
  fc.record({
    kind: fc.constant('service' as const),
    trustDomain: fc.constant(DOMAIN),
    namespace: fc.constant('default'),
    datacenter,
    service: name,
  }),
  fc.record({ kind: fc.constant('agent' as const), trustDomain: fc.constant(DOMAIN), datacenter, node: name }),
  fc.record({ kind: fc.constant('signing' as const), trustDomain: fc.constant(DOMAIN), datacenter }),
  fc.record({ kind: fc.constant('signing' as const), trustDomain: fc.constant(DOMAIN) }),
);

describe('SPIFFE identities', () => {
  it('are written as Consul writes them', () => {
    const service = {
      kind: 'service',
      trustDomain: DOMAIN,
      namespace: 'default',
      datacenter: 'dc2',
      service: 'web',
    } as const;
    expect(formatSpiffe(service)).toBe(`spiffe://${DOMAIN}/ns/default/dc/dc2/svc/web`);
    const agent = { kind: 'agent', trustDomain: DOMAIN, datacenter: 'dc1', node: 'n-1' } as const;
    expect(formatSpiffe(agent)).toBe(`spiffe://${DOMAIN}/agent/client/dc/dc1/id/n-1`);
    expect(formatSpiffe({ kind: 'signing', trustDomain: DOMAIN })).toBe(`spiffe://${DOMAIN}`);
    expect(parseSpiffe('spiffe://1234.consul/ns/default/dc/dc1/svc/web')).toMatchObject({ trustDomain: '1234.consul' });
  });

  it('have one form, whatever the case of their names', () => {
    const shouted = `spiffe://${DOMAIN}/ns/default/dc/DC1/svc/MALLORY`;
    expect(parseSpiffe(shouted)).toMatchObject({ datacenter: 'dc1', service: 'mallory' });
    expect(formatSpiffe(parseSpiffe(shouted))).toBe(`spiffe://${DOMAIN}/ns/default/dc/dc1/svc/mallory`);
    expect(parseSpiffe(`spiffe://${DOMAIN}/agent/client/dc/Dc1/id/Node-X`)).toMatchObject({ node: 'node-x' });
    expect(parseSpiffe(`spiffe://${DOMAIN}/ca/dc/DC2`)).toMatchObject({ kind: 'signing', datacenter: 'dc2' });
    for (const service of ['*', 'web%20', '../x\n', '', 'x'.repeat(256)])
      expect(() =>
        formatSpiffe({ kind: 'service', trustDomain: DOMAIN, namespace: 'default', datacenter: 'dc1', service }),
      ).toThrow(IsthmusError);
  });

  it('come back from their text, whatever the names hold', () => {
    fc.assert(
      fc.property(identity, (one) => {
        let uri: string;
        try {
          uri = formatSpiffe(one);
        } catch (error) {
          expect(error).toMatchObject({ code: 'invalid_argument' }); // too long once escaped
          return;
        }
        expect(uri).toMatch(/^[\x21-\x7e]+$/);
        expect(parseSpiffe(uri)).toEqual(one);
      }),
    );
  });

  it('never come from a text that does not come back as the same identity', () => {
    const pieces = fc.constantFrom(
      'spiffe://',
      DOMAIN,
      '/',
      'ns',
      'default',
      'dc',
      'svc',
      'agent',
      'client',
      'id',
      'web',
      '%2F',
      '%00',
      '%41',
      '%',
      '..',
      'é',
      '?',
      '#',
      ' ',
      '',
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.array(pieces, { maxLength: 14 }).map((parts) => parts.join('')),
          fc.string(),
        ),
        (text) => {
          const parsed = tryParseSpiffe(text);
          if (parsed !== undefined) expect(parseSpiffe(formatSpiffe(parsed))).toEqual(parsed);
        },
      ),
      { numRuns: 500 },
    );
  });

  it.each([
    ['https://x'],
    [''],
    ['spiffe://'],
    ['spiffe://UPPER.consul'],
    ['spiffe://a.consul:8500'],
    ['spiffe://user@a.consul'],
    ['spiffe://a.consul/'],
    ['spiffe://a.consul/ns/default/dc/dc1/svc/'],
    ['spiffe://a.consul/ns/default/dc/dc1/svc/web/'],
    ['spiffe://a.consul/ns/default/dc/dc1/svc/a%2Fb'],
    ['spiffe://a.consul/ns/default/dc/dc1/svc/a%00'],
    ['spiffe://a.consul/ns/default/dc/dc1/svc/%ff'],
    ['spiffe://a.consul/ns/default/dc/dc1/svc/%zz'],
    ['spiffe://a.consul/ns/default/dc/dc1/svc/..'],
    ['spiffe://a.consul/ns/default/dc/dc1/svc/web?x=1'],
    ['spiffe://a.consul/ns/default/dc/dc1/svc/web#x'],
    ['spiffe://a.consul/ns/default/dc/dc1/svc/wéb'],
    [`spiffe://a.consul/ns/default/dc/dc1/svc/${'a'.repeat(256)}`],
    [`spiffe://${'a'.repeat(256)}`],
    ['spiffe://a.consul/agent/server/dc/dc1/id/n'],
    ['spiffe://a.consul/ns/default/dc/dc1/svc/*'],
    ['spiffe://a.consul/ns/default/dc/dc1/svc/web%20'],
    ['spiffe://a.consul/ns/default/dc/dc1/svc/web%2520'],
    ['spiffe://a.consul/ns/default/dc/dc1/svc/..%5Cx'],
    ['spiffe://a.consul/ns/default/dc/dc.1/svc/web'],
    ['spiffe://a.consul/ca/dc/dc.1'],
    ['spiffe://a.consul/ca/dc/'],
    ['spiffe://a.consul/ca'],
  ])('refuses %s', (uri) => {
    expect(tryParseSpiffe(uri)).toBeUndefined();
    expect(() => parseSpiffe(uri)).toThrow(IsthmusError);
  });
});
