import { createHash, type KeyObject, verify } from 'node:crypto';
import { contextTag, DerReader, malformed, TAG } from './der.ts';
import {
  type Extension,
  type NameConstraints,
  readAltNames,
  readAuthorityKeyId,
  readBasicConstraints,
  readExtensions,
  readNameConstraints,
  readSubjectKeyId,
} from './extensions.ts';
import { colonHex, hashOfAlgorithm, publicKeyFromSpki } from './keys.ts';
import { commonNameOf } from './names.ts';
import { OID } from './oids.ts';
import { fromPem, oneFromPem, toPem } from './pem.ts';

/** What the mesh needs of an X.509 version 3 certificate. Buffers are views of `der`. */
export interface Certificate {
  readonly der: Buffer;
  readonly tbs: Buffer;
  readonly algorithm: Buffer;
  readonly signature: Buffer;
  /** Without sign byte. */
  readonly serial: Buffer;
  readonly issuer: Buffer;
  readonly subject: Buffer;
  readonly commonName: string;
  /** Milliseconds since 1970; both ends are valid. */
  readonly notBefore: number;
  readonly notAfter: number;
  readonly spki: Buffer;
  readonly ca: boolean;
  readonly pathLength: number | undefined;
  /** `KEY_USAGE` bits; undefined when the extension is absent. */
  readonly keyUsage: number | undefined;
  readonly uris: readonly string[];
  readonly dnsNames: readonly string[];
  /** What names certificates below it may have; undefined: any. */
  readonly nameConstraints: NameConstraints | undefined;
  /** Names in the SubjectAltName that are not URIs. */
  readonly otherNames: number;
  readonly subjectKeyId: Buffer | undefined;
  readonly authorityKeyId: Buffer | undefined;
  /** Identifiers of critical extensions that are not understood. */
  readonly unknownCritical: readonly string[];
}

const UNDERSTOOD: ReadonlySet<string> = new Set([
  OID.subjectKeyId,
  OID.keyUsage,
  OID.subjectAltName,
  OID.basicConstraints,
  OID.authorityKeyId,
  OID.extKeyUsage,
  OID.nameConstraints,
]);

/** Reads one certificate strictly; throws `invalid_argument`. Its signature is not verified here. */
export function parseCertificateDer(bytes: Buffer): Certificate {
  const whole = new DerReader(bytes);
  const outer = whole.enter(TAG.sequence);
  whole.finish();
  const tbs = outer.raw(TAG.sequence);
  const algorithm = outer.raw(TAG.sequence);
  const signature = outer.bits();
  outer.finish();

  const body = new DerReader(tbs).enter(TAG.sequence);
  const version = body.enter(contextTag(0));
  if (version.smallInteger() !== 2) throw malformed('a version other than 3');
  version.finish();
  const serial = body.unsigned();
  if (!body.raw(TAG.sequence).equals(algorithm)) throw malformed('two different signature algorithms');
  const issuer = body.raw(TAG.sequence);
  const validity = body.enter(TAG.sequence);
  const notBefore = validity.time();
  const notAfter = validity.time();
  validity.finish();
  const subject = body.raw(TAG.sequence);
  const spki = body.raw(TAG.sequence);
  const wrapper = body.enter(contextTag(3));
  const extensions = readExtensions(wrapper.enter(TAG.sequence));
  wrapper.finish();
  body.finish();

  const read = <T>(id: string, reader: (value: Buffer) => T): T | undefined => {
    const extension = extensions.get(id);
    return extension === undefined ? undefined : reader(extension.value);
  };
  const constraints = read(OID.basicConstraints, readBasicConstraints);
  const names = read(OID.subjectAltName, readAltNames);
  const nameConstraints = read(OID.nameConstraints, readNameConstraints);
  commonNameOf(issuer); // refuses what is not a name
  return {
    der: bytes,
    tbs,
    algorithm,
    signature,
    serial,
    issuer,
    subject,
    commonName: commonNameOf(subject),
    notBefore,
    notAfter,
    spki,
    ca: constraints?.ca ?? false,
    pathLength: constraints?.pathLength,
    keyUsage: read(OID.keyUsage, readKeyUsage),
    uris: names?.uris ?? [],
    dnsNames: names?.dns ?? [],
    nameConstraints,
    otherNames: names?.others ?? 0,
    subjectKeyId: read(OID.subjectKeyId, readSubjectKeyId),
    authorityKeyId: read(OID.authorityKeyId, readAuthorityKeyId),
    unknownCritical: unknownCritical(extensions),
  };
}

/** The only certificate in a PEM text. */
export function parseCertificate(pem: string): Certificate {
  return parseCertificateDer(oneFromPem('CERTIFICATE', pem));
}

/** All certificates of a PEM text, in order. */
export function parseChain(pem: string): Certificate[] {
  return fromPem('CERTIFICATE', pem).map(parseCertificateDer);
}

export function certificateToPem(certificate: Certificate): string {
  return toPem('CERTIFICATE', certificate.der);
}

/** SHA-1 of the certificate, hex pairs with colons: how Consul names roots. No security rests on it. */
export function fingerprintOf(certificate: Certificate): string {
  return colonHex(createHash('sha1').update(certificate.der).digest());
}

export function serialOf(certificate: Certificate): string {
  return colonHex(certificate.serial);
}

const publicKeys = new WeakMap<Certificate, KeyObject>();

/** The certificate's key, imported once. */
export function publicKeyOf(certificate: Certificate): KeyObject {
  let key = publicKeys.get(certificate);
  if (key === undefined) {
    key = publicKeyFromSpki(certificate.spki);
    publicKeys.set(certificate, key);
  }
  return key;
}

/** True when `issuer`'s key signed `certificate`. */
export function isSignedBy(certificate: Certificate, issuer: Certificate): boolean {
  try {
    const key = publicKeyOf(issuer);
    return verify(hashOfAlgorithm(certificate.algorithm, key), certificate.tbs, key, certificate.signature);
  } catch {
    return false; // a key or an algorithm that the mesh does not use
  }
}

function readKeyUsage(value: Buffer): number {
  const whole = new DerReader(value);
  const flags = whole.flags();
  whole.finish();
  return flags;
}

function unknownCritical(extensions: ReadonlyMap<string, Extension>): string[] {
  const unknown: string[] = [];
  for (const [id, { critical }] of extensions) if (critical && !UNDERSTOOD.has(id)) unknown.push(id);
  return unknown;
}
