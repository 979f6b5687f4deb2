import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { IsthmusError } from '../lib/errors.ts';
import { parseCertificate, parseCertificateDer } from './certificate.ts';
import { verifyChain } from './chain.ts';
import { createCsr, parseCsr } from './csr.ts';
import { DerReader, der, oid, sequence, TAG, time, unsignedInteger } from './der.ts';
import { createIssuer, createRoot } from './issuer.ts';
import { generateKey } from './keys.ts';
import { oneFromPem, toPem } from './pem.ts';

const NOW = Date.UTC(2026, 5, 1);
const URI = 'spiffe://f3f948f5-bd25-8329-8efb-d149dc61a619.consul/ns/default/dc/dc1/svc/web';
const read = (...bytes: number[]): DerReader => new DerReader(Buffer.from(bytes));

/** Runs `work`; true when it refused the input with a typed error, false when it took it; anything else fails. */
function refuses(work: () => unknown): boolean {
  try {
    work();
    return false;
  } catch (error) {
    expect(error).toBeInstanceOf(IsthmusError);
    expect((error as IsthmusError).code).toBe('invalid_argument');
    return true;
  }
}

describe('the DER reader', () => {
  it.each<[string, () => unknown]>([
    ['an indefinite length', () => read(0x30, 0x80, 0, 0).read(0x30)],
    ['a length that is not minimal', () => read(0x04, 0x81, 0x01, 0xff).read(0x04)],
    ['a length with a leading zero', () => read(0x04, 0x82, 0x00, 0x80).read(0x04)],
    ['a length beyond the end', () => read(0x04, 0x05, 1).read(0x04)],
    ['a huge length', () => read(0x04, 0x84, 0xff, 0xff, 0xff, 0xff).read(0x04)],
    ['another tag', () => read(0x04, 0x00).read(0x30)],
    ['nothing', () => read().read(0x30)],
    ['a lone tag', () => read(0x30).read(0x30)],
    ['bytes left over', () => read(0x04, 0x00, 0x00).finish()],
    ['an empty number', () => read(0x02, 0x00).integer()],
    ['a padded number', () => read(0x02, 0x02, 0x00, 0x01).integer()],
    ['a padded negative number', () => read(0x02, 0x02, 0xff, 0x80).integer()],
    ['a negative number', () => read(0x02, 0x01, 0x80).unsigned()],
    ['a number above 32 bits', () => read(0x02, 0x05, 1, 0, 0, 0, 0).smallInteger()],
    ['a boolean of 1', () => read(0x01, 0x01, 0x01).boolean()],
    ['unused bits in a key', () => read(0x03, 0x02, 0x01, 0x00).bits()],
    ['a bit string without its first byte', () => read(0x03, 0x00).bits()],
    ['named bits with trailing zeros', () => read(0x03, 0x02, 0x00, ((0x80 >> 1) << 1) & 0x40).flags()],
    ['named bits with padding set', () => read(0x03, 0x02, 0x07, 0x81).flags()],
    ['an identifier that ends early', () => read(0x06, 0x01, 0x80).oid()],
    ['an identifier with padding', () => read(0x06, 0x03, 0x2a, 0x80, 0x01).oid()],
    ['a time without seconds', () => new DerReader(der(TAG.utcTime, Buffer.from('2601010000Z'))).time()],
    ['a time of February 30', () => new DerReader(der(TAG.utcTime, Buffer.from('260230000000Z'))).time()],
    ['a time of hour 24', () => new DerReader(der(TAG.utcTime, Buffer.from('260101240000Z'))).time()],
    ['a time with an offset', () => new DerReader(der(TAG.utcTime, Buffer.from('260101000000+0100'))).time()],
    [
      'a GeneralizedTime that must be UTCTime',
      () => new DerReader(der(TAG.generalizedTime, Buffer.from('20260101000000Z'))).time(),
    ],
  ])('refuses %s', (_what, work) => {
    expect(refuses(work)).toBe(true);
  });

  it('reads back what the writer writes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 70_000 }), (bytes) => {
        expect(new DerReader(der(TAG.octetString, bytes)).read(TAG.octetString)).toEqual(Buffer.from(bytes));
      }),
      { numRuns: 30 },
    );
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 1n << 160n }), (value) => {
        const hex = value.toString(16);
        const bytes = Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex');
        expect(BigInt(`0x${new DerReader(unsignedInteger(bytes)).unsigned().toString('hex')}`)).toBe(value);
      }),
    );
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 2 }),
        fc.integer({ min: 0, max: 39 }),
        fc.array(fc.nat(), { maxLength: 8 }),
        (a, b, rest) => {
          const dotted = [a, b, ...rest].join('.');
          expect(new DerReader(oid(dotted)).oid()).toBe(dotted);
        },
      ),
    );
    const span = { min: Date.UTC(1970, 0, 1) / 1_000, max: Date.UTC(2200, 0, 1) / 1_000 };
    fc.assert(
      fc.property(fc.integer(span), (seconds) => {
        expect(new DerReader(time(seconds * 1_000)).time()).toBe(seconds * 1_000);
      }),
    );
  });
});

describe('hostile input', () => {
  let csr: Buffer;
  let root: Buffer;
  let leaf: Buffer;

  beforeAll(async () => {
    const key = await generateKey({ type: 'ec', bits: 256 });
    const pem = createCsr(key, { uri: URI, commonName: 'web' });
    csr = oneFromPem('CERTIFICATE REQUEST', pem);
    const rootPem = createRoot({
      key,
      commonName: 'root',
      uri: 'spiffe://a.consul',
      notBefore: NOW,
      notAfter: NOW + 1e10,
    });
    root = oneFromPem('CERTIFICATE', rootPem);
    const signed = createIssuer(rootPem, key).signLeaf({
      ...parseCsr(pem),
      commonName: 'web',
      notBefore: NOW,
      notAfter: NOW + 1e9,
    });
    leaf = oneFromPem('CERTIFICATE', signed.pem);
  });

  const takesCsr = (bytes: Buffer): boolean => !refuses(() => parseCsr(toPem('CERTIFICATE REQUEST', bytes)));
  const trusts = (bytes: Buffer): boolean =>
    !refuses(() => verifyChain([parseCertificateDer(bytes)], [parseCertificateDer(root)], NOW));

  it('no bit of a signing request can be flipped, no byte cut off or added', () => {
    expect(takesCsr(csr)).toBe(true);
    for (let length = 1; length < csr.length; length += 1) expect(takesCsr(csr.subarray(0, length))).toBe(false);
    expect(takesCsr(Buffer.concat([csr, Buffer.from([0])]))).toBe(false);
    for (let at = 0; at < csr.length; at += 1) {
      for (let bit = 0; bit < 8; bit += 1) {
        const changed = Buffer.from(csr);
        changed[at] = (changed[at] as number) ^ (1 << bit);
        if (takesCsr(changed)) expect.unreachable(`bit ${bit} of byte ${at}`);
      }
    }
  });

  it('no bit of a certificate can be flipped', () => {
    expect(trusts(leaf)).toBe(true);
    for (let length = 1; length < leaf.length; length += 1) expect(trusts(leaf.subarray(0, length))).toBe(false);
    for (let at = 0; at < leaf.length; at += 1) {
      for (let bit = 0; bit < 8; bit += 1) {
        const changed = Buffer.from(leaf);
        changed[at] = (changed[at] as number) ^ (1 << bit);
        if (trusts(changed)) expect.unreachable(`bit ${bit} of byte ${at}`);
      }
    }
  });

  it('random bytes and spliced structures end in a typed error', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        expect(refuses(() => parseCertificateDer(Buffer.from(bytes)))).toBe(true);
        expect(takesCsr(Buffer.concat([Buffer.from([0x30, 0x81, 0x80]), bytes]))).toBe(false);
      }),
    );
    fc.assert(
      fc.property(fc.nat(leaf.length - 1), fc.nat(64), fc.uint8Array({ maxLength: 64 }), (at, cut, insert) => {
        const changed = Buffer.concat([leaf.subarray(0, at), insert, leaf.subarray(Math.min(leaf.length, at + cut))]);
        if (!changed.equals(leaf)) expect(trusts(changed)).toBe(false);
      }),
      { numRuns: 500 },
    );
  });

  it('of other kinds is refused: two names, a DNS name, too much, none', () => {
    expect(refuses(() => parseCsr(''))).toBe(true);
    expect(refuses(() => parseCsr('x'.repeat(100_000)))).toBe(true);
    expect(refuses(() => parseCertificate(toPem('CERTIFICATE', sequence())))).toBe(true);
    expect(refuses(() => parseCertificate(toPem('CERTIFICATE', root) + toPem('CERTIFICATE', root)))).toBe(true);
    expect(refuses(() => parseCertificate('-----BEGIN CERTIFICATE-----\nAA=A\n-----END CERTIFICATE-----\n'))).toBe(
      true,
    );
  });
});
