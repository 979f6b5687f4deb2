import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import { describe, expect, it } from 'vitest';
import { createCsr, OwnCsrs, parseCsr } from './csr.ts';
import { generateKey, keyIdOf, spkiOf } from './keys.ts';
import { isSealed, openKey, readEncryptionKey, sealKey } from './seal.ts';

const URI = 'spiffe://f3f948f5-bd25-8329-8efb-d149dc61a619.consul/ns/default/dc/dc1/svc/web';
const EC = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

async function foreignCsr(names: x509.JsonGeneralNames, algorithm: webcrypto.EcKeyGenParams = EC): Promise<string> {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name: 'CN=web',
    keys,
    signingAlgorithm: EC,
    extensions: [
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      ...(names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(names)]),
    ],
  });
  return request.toString('pem');
}

describe('signing requests', () => {
  it('of ours are read and verified by an independent library', async () => {
    const key = await generateKey({ type: 'ec', bits: 256 });
    const request = new x509.Pkcs10CertificateRequest(createCsr(key, { uri: URI, commonName: 'web' }));
    expect(await request.verify()).toBe(true);
    expect(request.subject).toBe('CN=web');
    expect(Buffer.from(request.publicKey.rawData)).toEqual(spkiOf(key));
  });

  it('of our own process are taken once without being verified again, and nothing else is', async () => {
    const own = new OwnCsrs();
    const key = await generateKey({ type: 'ec', bits: 256 });
    const pem = createCsr(key, { uri: URI, commonName: 'web' }, own);
    expect(own.take(pem.replace('A', 'B'))).toBeUndefined();
    expect(own.take(pem)).toEqual(parseCsr(pem));
    expect(own.take(pem)).toBeUndefined();
  });

  it('of our own process are remembered up to a limit', async () => {
    const own = new OwnCsrs();
    const csr = { uri: URI, commonName: '', spki: Buffer.alloc(0) };
    for (let n = 0; n <= 1_024; n += 1) own.add(`request ${n}`, csr);
    expect(own.take('request 0')).toBeUndefined();
    expect(own.take('request 1')).toBe(csr);
    expect(own.take('request 1024')).toBe(csr);
  });

  it('of an independent library are read by ours', async () => {
    const csr = parseCsr(await foreignCsr([{ type: 'url', value: URI }]));
    expect(csr).toMatchObject({ uri: URI, commonName: 'web' });
    expect(keyIdOf(csr.spki)).toHaveLength(32);
  });

  it.each<[string, x509.JsonGeneralNames]>([
    ['no name', []],
    ['a DNS name', [{ type: 'dns', value: 'web.example' }]],
    [
      'a URI and a DNS name',
      [
        { type: 'url', value: URI },
        { type: 'dns', value: 'web.example' },
      ],
    ],
    [
      'two URIs',
      [
        { type: 'url', value: URI },
        { type: 'url', value: `${URI}2` },
      ],
    ],
  ])('with %s are refused', async (_what, names) => {
    const pem = await foreignCsr(names);
    expect(() => parseCsr(pem)).toThrow('exactly one name, a URI');
  });
});

describe('sealed keys', () => {
  const key = Buffer.alloc(32, 7);

  it('open again with the same key and name only', () => {
    const sealed = sealKey('secret', 'id', key);
    expect(isSealed(sealed)).toBe(true);
    expect(sealed).not.toContain('secret');
    expect(sealKey('secret', 'id', key)).not.toBe(sealed);
    expect(openKey(sealed, 'id', key)).toBe('secret');
    for (const [text, name, other] of [
      [sealed, 'other', key],
      [sealed, 'id', Buffer.alloc(32, 8)],
      [`${sealed.slice(0, -6)}AAAA==`, 'id', key],
      ['sealed:v1:AAAA', 'id', key],
    ] as const)
      expect(() => openKey(text, name, other)).toThrow(expect.objectContaining({ code: 'rejected' }));
  });

  it('take a key file of 32 bytes, raw, hexadecimal or base64', () => {
    expect(readEncryptionKey(key)).toEqual(key);
    expect(readEncryptionKey(Buffer.from(`${key.toString('hex')}\n`))).toEqual(key);
    expect(readEncryptionKey(Buffer.from(`${key.toString('base64')}\n`))).toEqual(key);
    expect(() => readEncryptionKey(Buffer.from('short'))).toThrow('32 bytes');
    expect(() => sealKey('x', 'id', Buffer.alloc(16))).toThrow('32 bytes');
  });
});
