import { type KeyObject, randomBytes, sign } from 'node:crypto';
import { IsthmusError } from '../lib/errors.ts';
import { type Certificate, parseCertificate, publicKeyOf } from './certificate.ts';
import { bitString, contextTag, der, sequence, TAG, time } from './der.ts';
import {
  encodeAuthorityKeyId,
  encodeBasicConstraints,
  encodeExtKeyUsage,
  encodeKeyUsage,
  encodePermittedUriHost,
  encodeSubjectKeyId,
  encodeUriName,
} from './extensions.ts';
import { keyIdOf, type SignatureAlgorithm, signatureAlgorithmOf, spkiOf } from './keys.ts';
import { encodeName } from './names.ts';
import { KEY_USAGE, OID } from './oids.ts';
import { toPem } from './pem.ts';

export interface LeafRequest {
  /** SubjectPublicKeyInfo of the leaf's key. */
  readonly spki: Buffer;
  /** The one identity; the caller has validated it. */
  readonly uri: string;
  readonly commonName: string;
  /** Milliseconds since 1970. */
  readonly notBefore: number;
  /** Cut to the issuer's own. */
  readonly notAfter: number;
}

export interface CaRequest extends LeafRequest {
  /** CA certificates allowed below this one; undefined: any number. */
  readonly pathLength?: number;
  /** URIs below it must be of this host; absent: of any. */
  readonly permittedUriHost?: string;
}

export interface Signed {
  readonly pem: string;
  readonly serial: Buffer;
  readonly notBefore: number;
  readonly notAfter: number;
}

const VERSION_3 = der(contextTag(0), der(TAG.integer, Buffer.from([2])));
const EXTENSIONS_TAG = contextTag(3);
const LEAF_FIXED = Buffer.concat([
  encodeKeyUsage(
    KEY_USAGE.digitalSignature | KEY_USAGE.keyEncipherment | KEY_USAGE.dataEncipherment | KEY_USAGE.keyAgreement,
  ),
  encodeExtKeyUsage(OID.clientAuth, OID.serverAuth),
  encodeBasicConstraints(false),
]);
const CA_KEY_USAGE = encodeKeyUsage(KEY_USAGE.digitalSignature | KEY_USAGE.keyCertSign | KEY_USAGE.crlSign);

/** A CA certificate with its key, ready to sign: all that is the same in each certificate is encoded once. */
export class Issuer {
  readonly certificate: Certificate;
  readonly #key: KeyObject;
  readonly #algorithm: SignatureAlgorithm;
  readonly #authorityKeyId: Buffer;

  constructor(certificate: Certificate, key: KeyObject) {
    if (!certificate.spki.equals(spkiOf(key)))
      throw new IsthmusError('invalid_argument', 'the private key does not belong to the certificate');
    if (!certificate.ca) throw new IsthmusError('invalid_argument', 'the certificate is not that of a CA');
    this.certificate = certificate;
    this.#key = key;
    this.#algorithm = signatureAlgorithmOf(key);
    this.#authorityKeyId = encodeAuthorityKeyId(certificate.subjectKeyId ?? keyIdOf(certificate.spki));
  }

  signLeaf(request: LeafRequest): Signed {
    return this.#sign(request, randomSerial(), [
      LEAF_FIXED,
      encodeSubjectKeyId(keyIdOf(request.spki)),
      this.#authorityKeyId,
      encodeUriName(request.uri),
    ]);
  }

  signCa(request: CaRequest): Signed {
    return this.#sign(request, randomSerial(), [
      CA_KEY_USAGE,
      encodeBasicConstraints(true, request.pathLength),
      encodeSubjectKeyId(keyIdOf(request.spki)),
      this.#authorityKeyId,
      encodeUriName(request.uri),
      ...(request.permittedUriHost === undefined ? [] : [encodePermittedUriHost(request.permittedUriHost)]),
    ]);
  }

  /**
   * A certificate for `root`'s name and key below this issuer: who trusts only this issuer's root accepts chains of
   * the new one. Subject, key ID and identity are those of `root`, byte for byte.
   */
  crossSign(root: Certificate, validity: { readonly notBefore: number; readonly notAfter: number }): Signed {
    const request = { spki: root.spki, uri: '', commonName: '', ...validity };
    const uris = root.uris.slice(0, 1).map(encodeUriName);
    const extensions = [
      CA_KEY_USAGE,
      encodeBasicConstraints(true, root.pathLength),
      encodeSubjectKeyId(root.subjectKeyId ?? keyIdOf(root.spki)),
      this.#authorityKeyId,
      ...uris,
    ];
    return this.#sign(request, randomSerial(), extensions, root.subject);
  }

  /** A certificate with extensions of the caller's choice; the issuer's key ID is added. */
  signWith(request: Omit<LeafRequest, 'uri'>, extensions: readonly Buffer[]): Signed {
    return this.#sign(request, randomSerial(), [
      ...extensions,
      encodeSubjectKeyId(keyIdOf(request.spki)),
      this.#authorityKeyId,
    ]);
  }

  #sign(request: Omit<LeafRequest, 'uri'>, serial: Buffer, extensions: readonly Buffer[], subject?: Buffer): Signed {
    const { certificate } = this;
    const notBefore = Math.max(wholeSecond(request.notBefore), certificate.notBefore);
    const notAfter = Math.min(wholeSecond(request.notAfter), certificate.notAfter);
    if (notAfter < notBefore) throw new IsthmusError('unavailable', 'the certificate of the CA has expired');
    const tbs = sequence(
      VERSION_3,
      der(TAG.integer, serial),
      this.#algorithm.der,
      certificate.subject,
      sequence(time(notBefore), time(notAfter)),
      subject ?? encodeName(request.commonName),
      request.spki,
      der(EXTENSIONS_TAG, sequence(...extensions)),
    );
    const signature = sign(this.#algorithm.hash, tbs, this.#key);
    const pem = toPem('CERTIFICATE', sequence(tbs, this.#algorithm.der, bitString(signature)));
    return { pem, serial, notBefore, notAfter };
  }
}

export interface SelfSignedRequest {
  readonly key: KeyObject;
  readonly commonName: string;
  readonly notBefore: number;
  readonly notAfter: number;
}

export interface RootRequest extends SelfSignedRequest {
  readonly uri: string;
}

/** A self-signed root. Its serial has 48 bits, so that it is exact as a JSON number. */
export function createRoot(request: RootRequest): string {
  return selfSign(request, [encodeUriName(request.uri)], randomSerial(6));
}

/** A self-signed CA certificate with further extensions. */
export function selfSign(request: SelfSignedRequest, extensions: readonly Buffer[], serial = randomSerial()): string {
  const { key } = request;
  const algorithm = signatureAlgorithmOf(key);
  const spki = spkiOf(key);
  const keyId = keyIdOf(spki);
  const name = encodeName(request.commonName);
  const tbs = sequence(
    VERSION_3,
    der(TAG.integer, serial),
    algorithm.der,
    name,
    sequence(time(wholeSecond(request.notBefore)), time(wholeSecond(request.notAfter))),
    name,
    spki,
    der(
      EXTENSIONS_TAG,
      sequence(
        CA_KEY_USAGE,
        encodeBasicConstraints(true),
        encodeSubjectKeyId(keyId),
        encodeAuthorityKeyId(keyId),
        ...extensions,
      ),
    ),
  );
  return toPem('CERTIFICATE', sequence(tbs, algorithm.der, bitString(sign(algorithm.hash, tbs, key))));
}

/** An issuer from PEM certificate and key; throws `invalid_argument` when they don't fit. */
export function createIssuer(certPem: string, key: KeyObject): Issuer {
  const certificate = parseCertificate(certPem);
  publicKeyOf(certificate);
  return new Issuer(certificate, key);
}

/** Random, positive and minimal: the top bit is clear and the next one set. */
function randomSerial(bytes = 16): Buffer {
  const serial = randomBytes(bytes);
  serial[0] = ((serial[0] as number) & 0x3f) | 0x40;
  return serial;
}

function wholeSecond(ms: number): number {
  return Math.floor(ms / 1_000) * 1_000;
}
