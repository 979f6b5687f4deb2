import {
  createECDH,
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPair,
  type JsonWebKey,
  type KeyObject,
} from 'node:crypto';
import { IsthmusError } from '../lib/errors.ts';
import { bitString, contextTag, DerReader, der, malformed, oid, sequence, TAG } from './der.ts';
import { OID } from './oids.ts';
import { toPem } from './pem.ts';

export type KeySpec =
  | { readonly type: 'ec'; readonly bits: 256 | 384 | 521 }
  | { readonly type: 'rsa'; readonly bits: 2048 | 4096 };

/** How a key signs: the hash, and the AlgorithmIdentifier that says so. */
export interface SignatureAlgorithm {
  readonly hash: 'sha256' | 'sha384' | 'sha512';
  readonly der: Buffer;
}

interface Curve {
  readonly node: string;
  readonly jwk: string;
  readonly bits: 256 | 384 | 521;
  /** Octets of one coordinate. */
  readonly size: number;
}

const CURVES: Readonly<Record<string, Curve>> = {
  [OID.p256]: { node: 'prime256v1', jwk: 'P-256', bits: 256, size: 32 },
  [OID.p384]: { node: 'secp384r1', jwk: 'P-384', bits: 384, size: 48 },
  [OID.p521]: { node: 'secp521r1', jwk: 'P-521', bits: 521, size: 66 },
};

const CURVES_BY_NAME: ReadonlyMap<string | undefined, Curve> = new Map(
  Object.values(CURVES).map((curve) => [curve.node, curve]),
);

const NULL = Buffer.from([TAG.null, 0]);

const ALGORITHMS = {
  ec256: { hash: 'sha256', der: sequence(oid('1.2.840.10045.4.3.2')) },
  ec384: { hash: 'sha384', der: sequence(oid('1.2.840.10045.4.3.3')) },
  ec521: { hash: 'sha512', der: sequence(oid('1.2.840.10045.4.3.4')) },
  rsa: { hash: 'sha256', der: sequence(oid('1.2.840.113549.1.1.11'), NULL) },
  rsa384: { hash: 'sha384', der: sequence(oid('1.2.840.113549.1.1.12'), NULL) },
  rsa512: { hash: 'sha512', der: sequence(oid('1.2.840.113549.1.1.13'), NULL) },
} as const satisfies Record<string, SignatureAlgorithm>;

/** A new RSA key in PKCS #8, made on another thread. */
function generateRsa(bits: number): Promise<Buffer> {
  const options = {
    modulusLength: bits,
    publicKeyEncoding: { type: 'spki', format: 'der' },
    privateKeyEncoding: { type: 'pkcs8', format: 'der' },
  } as const;
  return new Promise((resolve, reject) => {
    generateKeyPair('rsa', options, (error, _publicKey, privateKey) =>
      error === null ? resolve(privateKey) : reject(error),
    );
  });
}

/**
 * Node's key generation job shares a lock with the key that it made and takes it when it is collected. A collection
 * that falls into an export of that key then waits for itself, for ever (Node 20.20: ExportJWK, an allocation,
 * ~KeyGenJob). So no key that such a job made is ever used: EC keys are made without one, RSA keys are read from DER.
 */

/** Makes a key: RSA on another thread (it takes seconds), EC at once (at most a millisecond). */
export async function generateKey(spec: KeySpec): Promise<KeyObject> {
  if (spec.type === 'ec') return generateEcKey(curveOf(spec.bits));
  return createPrivateKey({ key: await generateRsa(spec.bits), format: 'der', type: 'pkcs8' });
}

/** A P-256 key for a leaf, at once (about 150 µs). */
export function generateLeafKey(): KeyObject {
  return generateEcKey(curveOf(256));
}

function generateEcKey({ node, jwk, size }: Curve): KeyObject {
  const pair = createECDH(node);
  const point = pair.generateKeys(); // 4, x, y
  const scalar = pair.getPrivateKey(); // without leading zeros
  const d = Buffer.concat([Buffer.alloc(size - scalar.length), scalar]);
  const key = {
    kty: 'EC',
    crv: jwk,
    x: point.toString('base64url', 1, 1 + size),
    y: point.toString('base64url', 1 + size),
    d: d.toString('base64url'),
  };
  return createPrivateKey({ key, format: 'jwk' });
}

/** What kind of key it is; throws `invalid_argument` for kinds that the mesh does not use. */
export function keySpecOf(key: KeyObject): KeySpec {
  const details = key.asymmetricKeyDetails;
  if (key.asymmetricKeyType === 'ec') {
    const curve = CURVES_BY_NAME.get(details?.namedCurve);
    if (curve !== undefined) return { type: 'ec', bits: curve.bits };
  }
  if (key.asymmetricKeyType === 'rsa') {
    const bits = details?.modulusLength;
    if (bits === 2048 || bits === 4096) return { type: 'rsa', bits };
  }
  throw new IsthmusError('invalid_argument', 'the key must be EC P-256, P-384 or P-521, or RSA with 2048 or 4096 bits');
}

/**
 * SubjectPublicKeyInfo of a private or public key. For EC it is written here: OpenSSL's encoder takes 20 times as long
 * as its answer in numbers.
 */
export function spkiOf(key: KeyObject): Buffer {
  const ec = ecNumbers(key);
  if (ec !== undefined) return sequence(ec.curve.algorithm, ec.point);
  const publicKey = key.type === 'private' ? createPublicKey(key) : key;
  return publicKey.export({ format: 'der', type: 'spki' });
}

/** Key ID of a SubjectPublicKeyInfo: its SHA-256, 32 octets. */
export function keyIdOf(spki: Uint8Array): Buffer {
  return createHash('sha256').update(spki).digest();
}

/** Lower-case hex pairs with colons, as Consul writes key IDs, fingerprints and serial numbers. */
export function colonHex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    .toString('hex')
    .replace(/..(?!$)/g, '$&:');
}

/** SEC 1 for EC (RFC 5915, written here as in {@link spkiOf}), PKCS #1 for RSA: what Consul writes. */
export function privateKeyToPem(key: KeyObject): string {
  const ec = ecNumbers(key);
  if (ec?.secret !== undefined) {
    const { curve, secret, point } = ec;
    return toPem(
      'EC PRIVATE KEY',
      sequence(SEC1_VERSION, der(TAG.octetString, secret), der(contextTag(0), curve.oid), der(contextTag(1), point)),
    );
  }
  return key.export({ format: 'pem', type: key.asymmetricKeyType === 'ec' ? 'sec1' : 'pkcs1' }).toString();
}

/** Throws `invalid_argument` without a word of the text itself. */
export function privateKeyFromPem(pem: string): KeyObject {
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch {
    throw new IsthmusError('invalid_argument', 'the private key is not readable PEM (PKCS #8, SEC 1 or PKCS #1)');
  }
  keySpecOf(key);
  return key;
}

/** The algorithm that a CA key signs with. */
export function signatureAlgorithmOf(key: KeyObject): SignatureAlgorithm {
  const spec = keySpecOf(key);
  if (spec.type === 'rsa') return ALGORITHMS.rsa;
  return spec.bits === 256 ? ALGORITHMS.ec256 : spec.bits === 384 ? ALGORITHMS.ec384 : ALGORITHMS.ec521;
}

/** The hash that an AlgorithmIdentifier names, if it fits the kind of key that is said to have signed. */
export function hashOfAlgorithm(algorithm: Buffer, key: KeyObject): SignatureAlgorithm['hash'] {
  const { ec256, ec384, ec521, rsa, rsa384, rsa512 } = ALGORITHMS;
  for (const known of key.asymmetricKeyType === 'ec' ? [ec256, ec384, ec521] : [rsa, rsa384, rsa512])
    if (algorithm.equals(known.der)) return known.hash;
  throw malformed('a signature algorithm that is unknown or does not fit the key');
}

/**
 * A public key from a SubjectPublicKeyInfo, read strictly. Importing it as JWK takes OpenSSL half of the time that
 * SPKI takes.
 */
export function publicKeyFromSpki(spki: Buffer): KeyObject {
  const whole = new DerReader(spki);
  const info = whole.enter(TAG.sequence);
  whole.finish();
  const algorithm = info.enter(TAG.sequence);
  const kind = algorithm.oid();
  const bits = info.bits();
  info.finish();
  try {
    if (kind === OID.ecPublicKey) {
      const curve = CURVES[algorithm.oid()];
      algorithm.finish();
      if (curve === undefined || bits.length !== 1 + 2 * curve.size || bits[0] !== 4) throw malformed('an EC key');
      const x = bits.toString('base64url', 1, 1 + curve.size);
      const y = bits.toString('base64url', 1 + curve.size);
      return createPublicKey({ key: { kty: 'EC', crv: curve.jwk, x, y }, format: 'jwk' });
    }
    if (kind === OID.rsaEncryption) {
      if (algorithm.read(TAG.null).length !== 0) throw malformed('an RSA key');
      algorithm.finish();
      const outer = new DerReader(bits);
      const key = outer.enter(TAG.sequence);
      outer.finish();
      const n = key.unsigned();
      const e = key.unsigned();
      key.finish();
      if (
        n.length < 256 ||
        n.length > 512 ||
        e.length > 4 ||
        ((e[e.length - 1] as number) & 1) === 0 ||
        (e.length === 1 && (e[0] as number) < 3)
      )
        throw malformed('an RSA key');
      const jwk = { kty: 'RSA', n: n.toString('base64url'), e: e.toString('base64url') };
      return createPublicKey({ key: jwk, format: 'jwk' });
    }
  } catch (error) {
    if (error instanceof IsthmusError) throw error;
    throw malformed('a public key'); // a point that is not on its curve
  }
  throw malformed('a public key of a kind that the mesh does not use');
}

interface EncodedCurve {
  readonly oid: Buffer;
  /** AlgorithmIdentifier of keys on it. */
  readonly algorithm: Buffer;
}

const SEC1_VERSION = der(TAG.integer, Buffer.from([1]));
const UNCOMPRESSED = Buffer.from([4]);

const ENCODED_CURVES: ReadonlyMap<unknown, EncodedCurve> = new Map(
  Object.entries(CURVES).map(([id, { jwk }]) => [
    jwk,
    { oid: oid(id), algorithm: sequence(oid(OID.ecPublicKey), oid(id)) },
  ]),
);

/** The numbers of an EC key as they are encoded, each as long as its curve asks; undefined for other keys. */
function ecNumbers(
  key: KeyObject,
): { readonly curve: EncodedCurve; readonly secret: Buffer | undefined; readonly point: Buffer } | undefined {
  if (key.asymmetricKeyType !== 'ec') return undefined;
  let jwk: JsonWebKey;
  try {
    jwk = key.export({ format: 'jwk' });
  } catch {
    return undefined; // a curve that has no name there
  }
  const { crv, d, x, y } = jwk;
  const curve = ENCODED_CURVES.get(crv);
  if (curve === undefined || x === undefined || y === undefined) return undefined;
  const point = bitString(Buffer.concat([UNCOMPRESSED, Buffer.from(x, 'base64url'), Buffer.from(y, 'base64url')]));
  return { curve, secret: d === undefined ? undefined : Buffer.from(d, 'base64url'), point };
}

function curveOf(bits: 256 | 384 | 521): Curve {
  const curve = Object.values(CURVES).find((known) => known.bits === bits);
  if (curve === undefined) throw new IsthmusError('internal', `no curve of ${bits} bits`);
  return curve;
}
