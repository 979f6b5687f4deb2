import { generateKeyPairSync } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { startCa } from '../../../test/fakes/ca-datacenter.ts';
import { FakeClock } from '../../../test/fakes/fake-clock.ts';
import { caConfigFaults, canonicalKeys } from '../../model/ca-config.ts';
import { parseCertificate } from '../../pki/certificate.ts';
import { createRoot } from '../../pki/issuer.ts';
import { generateKey, privateKeyToPem } from '../../pki/keys.ts';
import { createBuiltinProvider } from './providers/builtin.ts';

const NO_PEM = 'error generating CA root certificate: error generating CA: error parsing private key';

describe('the CA configuration', () => {
  it.each<[unknown, string]>([
    [{ Provider: 'bogus', Config: {} }, 'could not initialize provider: unknown CA provider "bogus"'],
    [{ Config: {} }, 'could not initialize provider: unknown CA provider ""'],
    [
      { Provider: 'consul', Config: { LeafCertTTL: '5m' } },
      'error configuring provider: leaf cert TTL must be greater or equal than 1h0m0s',
    ],
    [
      { Provider: 'consul', Config: { LeafCertTTL: '2h', PrivateKeyType: 'bogus' } },
      "error configuring provider: private key type must be either 'ec' or 'rsa'",
    ],
    [{ Provider: 'consul', Config: { PrivateKey: 'x' } }, `${NO_PEM} "x": no PEM-encoded data found`],
    [
      { Provider: 'consul', Config: { PrivateKey: 'a secret that has no PEM' } },
      `${NO_PEM} "(redacted)": no PEM-encoded data found`,
    ],
    [
      { Provider: 'consul', Config: { PrivateKeyBits: 512 } },
      'error configuring provider: EC key length must be one of: (256, 384, 521) bits',
    ],
    [
      { Provider: 'consul', Config: { PrivateKeyType: 'rsa', PrivateKeyBits: 1024 } },
      'error configuring provider: RSA key length must be one of: (2048, 4096) bits',
    ],
    [
      { Provider: 'consul', Config: { IntermediateCertTTL: '100h' } },
      'error configuring provider: intermediate cert TTL must be greater or equal than 3 * LeafCertTTL (>=216h0m0s)',
    ],
    [
      { Provider: 'consul', Config: { LeafCertTTL: '9000h' } },
      'error configuring provider: leaf cert TTL must be less than 8760h0m0s',
    ],
    [
      { Provider: 'consul', Config: { LeafCertTTL: 'soon' } },
      'error configuring provider: LeafCertTTL must be a duration such as "72h"',
    ],
    [
      { Provider: 'consul', Config: { RotationPeriod: '5m' } },
      'error configuring provider: rotation period must be 0 or at least 1h0m0s',
    ],
    [
      { Provider: 'consul', Config: { RootCert: 'x' } },
      'error generating CA root certificate: RootCert needs the PrivateKey that belongs to it',
    ],
  ])('%j is refused and changes nothing', async (config, message) => {
    const dc1 = await startCa('dc1', new FakeClock());
    const before = [dc1.roots(), dc1.ca.reads['ca.config'].produce({})];
    await expect(dc1.ca.setConfig({ config })).rejects.toMatchObject({ code: 'rejected', message });
    expect([dc1.roots(), dc1.ca.reads['ca.config'].produce({})]).toEqual(before);
    await dc1.stop();
  });

  it.each<[unknown]>([
    ['text'],
    [null],
    [[]],
    [{ Provider: 7 }],
    [{ Config: 'x' }],
    [{ ForceWithoutCrossSigning: 'yes' }],
  ])('%j is malformed', async (config) => {
    const dc1 = await startCa('dc1', new FakeClock());
    await expect(dc1.ca.setConfig({ config })).rejects.toMatchObject({ code: 'invalid_argument' });
    await dc1.stop();
  });

  it('shows what was written, never a key, and durations in nanoseconds count too', async () => {
    const dc1 = await startCa('dc1', new FakeClock());
    const config = { LeafCertTTL: 24 * 3_600e9, Custom: 'kept', PrivateKey: '', RootCert: '' };
    await dc1.ca.setConfig({ config: { Provider: 'consul', Config: config } });
    expect(dc1.ca.reads['ca.config'].produce({}).Config).toEqual({ Custom: 'kept', LeafCertTTL: 86_400e9 });
    expect((await dc1.leaf()).ValidBefore).toBe('2026-01-02T00:00:00Z');
    await dc1.stop();
  });

  it('with the private key of the operator makes a root of it; the same key again changes nothing', async () => {
    const clock = new FakeClock();
    const dc1 = await startCa('dc1', clock);
    const key = await generateKey({ type: 'ec', bits: 384 });
    const config = { Provider: 'consul', Config: { PrivateKey: privateKeyToPem(key) } };
    await dc1.ca.setConfig({ config });
    await clock.advance(11_000);
    const roots = dc1.roots();
    expect(roots.Roots).toEqual([expect.objectContaining({ Active: true, PrivateKeyType: 'ec', PrivateKeyBits: 384 })]);
    await dc1.ca.setConfig({ config });
    expect(dc1.roots()).toEqual(roots);
    expect(JSON.stringify(dc1.ca.reads['ca.config'].produce({}))).not.toContain('PRIVATE');
    // What is read can be written back.
    await dc1.ca.setConfig({ config: dc1.ca.reads['ca.config'].produce({}) });
    expect(dc1.roots()).toEqual(roots);
    await dc1.stop();
  });

  it('with a root and key of the operator uses that root', async () => {
    const clock = new FakeClock();
    const dc1 = await startCa('dc1', clock);
    const key = await generateKey({ type: 'ec', bits: 256 });
    const mine = (uri: string, notAfter: number): string =>
      createRoot({ key, commonName: 'My CA', uri, notBefore: clock.now() - 1e9, notAfter });
    const uri = `spiffe://${dc1.ca.trustDomain()}`;
    const apply = (RootCert: string, PrivateKey = privateKeyToPem(key)): Promise<null> =>
      dc1.ca.setConfig({ config: { Provider: 'consul', Config: { RootCert, PrivateKey } } });
    await expect(apply(mine('spiffe://other.consul', clock.now() + 1e11))).rejects.toThrow(
      'it is for spiffe://other.consul',
    );
    await expect(apply(mine(uri, clock.now() - 1e6))).rejects.toThrow('it has expired');
    const other = privateKeyToPem(await generateKey({ type: 'ec', bits: 256 }));
    await expect(apply(mine(uri, clock.now() + 1e11), other)).rejects.toThrow('PrivateKey does not belong to RootCert');
    const root = mine(uri, clock.now() + 1e11);
    await apply(root);
    expect(dc1.roots().Roots.find((one) => one.Active)?.RootCert).toBe(root);
    expect(
      parseCertificate((await dc1.leaf()).CertPEM.split(/(?<=-----END CERTIFICATE-----\n)/)[0] as string).issuer,
    ).toEqual(parseCertificate(root).subject);
    await dc1.stop();
  });

  it('gives roots that live as long as RootCertTTL says, longer than intermediates', async () => {
    const clock = new FakeClock();
    const dc1 = await startCa('dc1', clock);
    const config = { LeafCertTTL: '1h', IntermediateCertTTL: '24h', RotationPeriod: '2h' };
    const apply = (RootCertTTL: string) =>
      dc1.ca.setConfig({ config: { Provider: 'consul', Config: { ...config, RootCertTTL, PrivateKeyBits: 384 } } });
    await expect(apply('24h')).rejects.toThrow('root cert TTL must be greater than intermediate cert TTL (>24h0m0s)');
    await apply('48h');
    const roots = dc1.roots().Roots.map(({ RootCert }) => parseCertificate(RootCert).notAfter - clock.now());
    expect(Math.min(...roots)).toBe(48 * 3_600_000);
    await dc1.stop();
  });

  it('of a file is refused exactly when the provider would refuse it', () => {
    const keys = [
      generateKeyPairSync('ec', { namedCurve: 'P-256' }),
      generateKeyPairSync('ec', { namedCurve: 'P-384' }),
      generateKeyPairSync('ec', { namedCurve: 'secp256k1' }),
      generateKeyPairSync('rsa', { modulusLength: 2048 }),
      generateKeyPairSync('rsa', { modulusLength: 1024 }),
      generateKeyPairSync('ed25519'),
    ].map(({ privateKey }) => privateKey.export({ type: 'pkcs8', format: 'pem' }));
    const ttl = fc.constantFrom<unknown>('', '1m', '1h', '72h', '400h', '8760h', '90000h', 'soon', 3.6e12, true);
    const text = fc.constantFrom<unknown>('', 'x', '-----BEGIN X-----', 7);
    const config = fc.record(
      {
        LeafCertTTL: ttl,
        IntermediateCertTTL: ttl,
        RootCertTTL: ttl,
        RotationPeriod: ttl,
        PrivateKeyType: fc.constantFrom<unknown>('ec', 'rsa', 'dsa', '', 1),
        PrivateKeyBits: fc.constantFrom<unknown>(256, '384', 2048, 1024, '', 'x', 0),
        CSRMaxPerSecond: fc.constantFrom<unknown>(0, -1, '5', 1.5, ''),
        PrivateKey: fc.oneof(text, fc.constantFrom(...keys)),
        RootCert: text,
      },
      { requiredKeys: [] },
    );
    const outcomes = new Set<boolean>();
    const provider = createBuiltinProvider();
    fc.assert(
      fc.property(config, (given) => {
        let taken = true;
        try {
          provider.configure(given);
        } catch {
          taken = false;
        }
        outcomes.add(taken);
        expect(caConfigFaults('consul', given).length === 0).toBe(taken);
      }),
      { numRuns: 1_000, examples: [[{}], [{ PrivateKeyType: 'dsa' }]] },
    );
    expect(outcomes.size).toBe(2);
  });

  it('is read with the keys of configuration files too', () => {
    expect(canonicalKeys({ leaf_cert_ttl: '1h', RootCert: 'x', privateKeyType: 'ec', other: 1 })).toEqual({
      LeafCertTTL: '1h',
      RootCert: 'x',
      PrivateKeyType: 'ec',
      other: 1,
    });
  });

  it('limits signatures each second when it says so, and tells when to come back', async () => {
    const clock = new FakeClock();
    const dc1 = await startCa('dc1', clock);
    await dc1.ca.setConfig({ config: { Provider: 'consul', Config: { CSRMaxPerSecond: 10 } } });
    for (let count = 0; count < 10; count += 1) await dc1.leaf();
    await expect(dc1.leaf()).rejects.toMatchObject({ code: 'rate_limited', details: { retryAfterMs: 1_000 } });
    await clock.advance(3_100); // the one that was refused does not come back: its place is given away
    for (let count = 0; count < 10; count += 1) await dc1.leaf();
    await expect(dc1.leaf()).rejects.toMatchObject({ code: 'rate_limited' });
    await dc1.stop();
  });
});
