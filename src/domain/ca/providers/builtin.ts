import type { KeyObject } from 'node:crypto';
import { IsthmusError } from '../../../lib/errors.ts';
import { badConfig, readSettings, redactKey, stringOf } from '../../../model/ca-config.ts';
import { parseCertificate } from '../../../pki/certificate.ts';
import { createCsr } from '../../../pki/csr.ts';
import { createIssuer, createRoot } from '../../../pki/issuer.ts';
import {
  colonHex,
  generateKey,
  type KeySpec,
  keyIdOf,
  keySpecOf,
  privateKeyFromPem,
  privateKeyToPem,
  spkiOf,
} from '../../../pki/keys.ts';
import type { CaProvider } from './provider.ts';

/**
 * Keys in this process, in the datacenter's own store. Consul calls it "consul". It needs nothing, and is always ready.
 */
export function createBuiltinProvider(): CaProvider {
  return {
    name: 'consul',

    configure(config) {
      const settings = readSettings(config);
      const given = readPrivateKey(stringOf(config, 'PrivateKey'));
      if (given !== undefined && settings.keyGiven && !sameSpec(keySpecOf(given), settings.key))
        throw badConfig('PrivateKey is not of the kind that PrivateKeyType and PrivateKeyBits name');
      const rootCert = stringOf(config, 'RootCert');
      if (rootCert !== '') checkRootCert(rootCert, given);
      return {
        settings,
        requiredKeyId: given === undefined ? '' : colonHex(keyIdOf(spkiOf(given))),
        requiredRoot: rootCert,
        async createRoot(template) {
          const key = given ?? (await generateKey(settings.key));
          const certPem = rootCert === '' ? createRoot({ key, ...template }) : rootCert;
          return { certPem, secret: privateKeyToPem(key), key: keySpecOf(key), generated: given === undefined };
        },
      };
    },

    async requestIntermediate(settings, uri) {
      const key = await generateKey(settings.key);
      return { csr: createCsr(key, { uri }), spki: spkiOf(key), secret: privateKeyToPem(key) };
    },

    issuer(certPem, secret) {
      return createIssuer(certPem, privateKeyFromPem(secret));
    },
  };
}

function sameSpec(a: KeySpec, b: KeySpec): boolean {
  return a.type === b.type && a.bits === b.bits;
}

function readPrivateKey(pem: string): KeyObject | undefined {
  if (pem === '') return undefined;
  const fail = (why: string): IsthmusError =>
    new IsthmusError(
      'rejected',
      `error generating CA root certificate: error generating CA: error parsing private key ${redactKey(pem)}: ${why}`,
    );
  if (!pem.includes('-----BEGIN ')) throw fail('no PEM-encoded data found');
  try {
    return privateKeyFromPem(pem);
  } catch (error) {
    throw fail(IsthmusError.from(error).message);
  }
}

function checkRootCert(pem: string, key: KeyObject | undefined): void {
  const fail = (why: string): IsthmusError =>
    new IsthmusError('rejected', `error generating CA root certificate: ${why}`);
  if (key === undefined) throw fail('RootCert needs the PrivateKey that belongs to it');
  let spki: Buffer;
  try {
    spki = parseCertificate(pem).spki;
  } catch (error) {
    throw fail(`RootCert: ${IsthmusError.from(error).message}`);
  }
  if (!spki.equals(spkiOf(key))) throw fail('PrivateKey does not belong to RootCert');
}
