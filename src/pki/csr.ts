import { type KeyObject, sign, verify } from 'node:crypto';
import { bitString, contextTag, DerReader, der, malformed, oid, sequence, TAG } from './der.ts';
import { encodeUriName, readAltNames, readExtensions } from './extensions.ts';
import { hashOfAlgorithm, publicKeyFromSpki, signatureAlgorithmOf, spkiOf } from './keys.ts';
import { commonNameOf, encodeName } from './names.ts';
import { OID } from './oids.ts';
import { oneFromPem, toPem } from './pem.ts';

/** A certificate signing request whose signature has been verified. */
export interface Csr {
  /** The one URI of its SubjectAltName. */
  readonly uri: string;
  readonly commonName: string;
  /** SubjectPublicKeyInfo, DER. */
  readonly spki: Buffer;
}

export interface CsrRequest {
  readonly uri: string;
  readonly commonName?: string;
  /** The key's SubjectPublicKeyInfo, when the caller has it at hand. */
  readonly spki?: Buffer;
}

const VERSION_0 = der(TAG.integer, Buffer.from([0]));
const EXTENSION_REQUEST = oid(OID.extensionRequest);
/** CSRs of the largest allowed key stay well below this, characters. */
const MAX_CSR = 16_384;
const LABEL = 'CERTIFICATE REQUEST';

/** Requests remembered at most: they are taken at once, or never when the call failed on its way. */
const MAX_OWN = 1_024;

/**
 * Requests that this very process has made and signed: an authority in the same process need not verify them, which
 * is most of what a leaf costs. Each is taken once; any other text is read and verified as ever.
 */
export class OwnCsrs {
  readonly #made = new Map<string, Csr>();

  add(pem: string, csr: Csr): void {
    if (this.#made.size >= MAX_OWN) this.#made.delete(this.#made.keys().next().value as string);
    this.#made.set(pem, csr);
  }

  take(pem: string): Csr | undefined {
    const csr = this.#made.get(pem);
    if (csr !== undefined) this.#made.delete(pem);
    return csr;
  }
}

/** A PKCS #10 request (RFC 2986) for `key`, PEM; remembered in `own` when given. */
export function createCsr(key: KeyObject, request: CsrRequest, own?: OwnCsrs): string {
  const { uri, commonName = '', spki = spkiOf(key) } = request;
  const attribute = sequence(EXTENSION_REQUEST, der(TAG.set, sequence(encodeUriName(uri))));
  const info = sequence(VERSION_0, encodeName(commonName), spki, der(contextTag(0), attribute));
  const algorithm = signatureAlgorithmOf(key);
  const pem = toPem(LABEL, sequence(info, algorithm.der, bitString(sign(algorithm.hash, info, key))));
  own?.add(pem, { uri, commonName, spki });
  return pem;
}

/**
 * Reads a request strictly and verifies that its sender holds the key. Of what it asks for only the key and the one
 * URI count. Throws `invalid_argument`.
 */
export function parseCsr(pem: string): Csr {
  if (typeof pem !== 'string' || pem.length > MAX_CSR) throw malformed('no signing request, or one that is too long');
  const whole = new DerReader(oneFromPem(LABEL, pem));
  const outer = whole.enter(TAG.sequence);
  whole.finish();
  const infoDer = outer.raw(TAG.sequence);
  const algorithm = outer.raw(TAG.sequence);
  const signature = outer.bits();
  outer.finish();

  const info = new DerReader(infoDer).enter(TAG.sequence);
  if (info.smallInteger() !== 0) throw malformed('a signing request of an unknown version');
  const commonName = commonNameOf(info.raw(TAG.sequence));
  const spki = info.raw(TAG.sequence);
  const uri = readAttributes(info.enter(contextTag(0)));
  info.finish();

  const publicKey = publicKeyFromSpki(spki);
  if (!verify(hashOfAlgorithm(algorithm, publicKey), infoDer, publicKey, signature))
    throw malformed('the signing request is not signed by its own key');
  return { uri, commonName, spki };
}

function readAttributes(attributes: DerReader): string {
  let uri: string | undefined;
  while (!attributes.done) {
    const attribute = attributes.enter(TAG.sequence);
    const type = attribute.oid();
    const values = attribute.enter(TAG.set);
    attribute.finish();
    if (type !== OID.extensionRequest) continue;
    if (uri !== undefined) throw malformed('an attribute given twice');
    const extensions = readExtensions(values.enter(TAG.sequence));
    values.finish();
    const names = extensions.get(OID.subjectAltName);
    if (names === undefined) continue;
    const { uris, others } = readAltNames(names.value);
    if (uris.length !== 1 || others !== 0) throw malformed('a signing request must ask for exactly one name, a URI');
    uri = uris[0];
  }
  if (uri === undefined) throw malformed('a signing request must ask for exactly one name, a URI');
  return uri;
}
