import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { IsthmusError } from '../lib/errors.ts';
import { formatSpiffe, parseSpiffe, type SpiffeIdentity, tryParseSpiffe } from './spiffe.ts';

const DOMAIN = 'f3f948f5-bd25-8329-8efb-d149dc61a619.consul';

const name = fc
  .string({ unit: 'binary', minLength: 1, maxLength: 100 })
  // biome-ignore lint/suspicious/noControlCharactersInRegex: what names never hold
  .filter((text) => !/[\u0000-\u001f\u007f/\\]|\p{Surrogate}/u.test(text) && text !== '.' && text !== '..');

const identity: fc.Arbitrary<SpiffeIdentity> = fc.oneof(
  fc.record({
    kind: fc.constant('service' as const),
    trustDomain: fc.constant(DOMAIN),
    namespace: fc.constant('default'),
    datacenter: name,
    service: name,
  }),
  fc.record({ kind: fc.constant('agent' as const), trustDomain: fc.constant(DOMAIN), datacenter: name, node: name }),
  fc.record({ kind: fc.constant('signing' as const), trustDomain: fc.constant(DOMAIN) }),
);

describe('SPIFFE identities', () => {
  it('are written as the peer writes them', () => {
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
  ])('refuses %s', (uri) => {
    expect(tryParseSpiffe(uri)).toBeUndefined();
    expect(() => parseSpiffe(uri)).toThrow(IsthmusError);
  });
});
