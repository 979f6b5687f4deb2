import { isIPv4, isIPv6 } from 'node:net';
import { contextTag, DerReader, der, malformed, oid, sequence, TAG } from './der.ts';
import { OID } from './oids.ts';

const TRUE = der(TAG.boolean, Buffer.from([0xff]));
const DNS_TAG = contextTag(2, true);
const URI_TAG = contextTag(6, true);
const IP_TAG = contextTag(7, true);
const KEY_ID_TAG = contextTag(0, true);

/** One extension (RFC 5280, 4.1): its value is the DER inside the OCTET STRING. */
export interface Extension {
  readonly critical: boolean;
  readonly value: Buffer;
}

function encodeExtension(id: string, critical: boolean, value: Buffer): Buffer {
  const octets = der(TAG.octetString, value);
  return critical ? sequence(oid(id), TRUE, octets) : sequence(oid(id), octets);
}

/** Reads `Extensions` (a SEQUENCE OF): each identifier once. */
export function readExtensions(list: DerReader): Map<string, Extension> {
  const found = new Map<string, Extension>();
  if (list.done) throw malformed('an empty list of extensions');
  while (!list.done) {
    const extension = list.enter(TAG.sequence);
    const id = extension.oid();
    const critical = extension.peek() === TAG.boolean && extension.boolean();
    const value = extension.read(TAG.octetString);
    extension.finish();
    if (found.has(id)) throw malformed('an extension given twice');
    found.set(id, { critical, value });
  }
  return found;
}

export function encodeKeyUsage(flags: number): Buffer {
  let first = 0;
  for (let bit = 0; bit < 8; bit += 1) if ((flags & (1 << bit)) !== 0) first |= 0x80 >> bit;
  const unused = first === 0 ? 0 : 31 - Math.clz32(first & -first);
  return encodeExtension(OID.keyUsage, true, der(TAG.bitString, Buffer.from([unused, first])));
}

export function encodeExtKeyUsage(...purposes: readonly string[]): Buffer {
  return encodeExtension(OID.extKeyUsage, false, sequence(...purposes.map(oid)));
}

/** `pathLength` undefined: no limit. */
export function encodeBasicConstraints(ca: boolean, pathLength?: number): Buffer {
  const limit = pathLength === undefined ? [] : [der(TAG.integer, Buffer.from([pathLength]))];
  return encodeExtension(OID.basicConstraints, true, ca ? sequence(TRUE, ...limit) : sequence());
}

export function readBasicConstraints(value: Buffer): { readonly ca: boolean; readonly pathLength: number | undefined } {
  const whole = new DerReader(value);
  const inside = whole.enter(TAG.sequence);
  whole.finish();
  const ca = inside.peek() === TAG.boolean && inside.boolean();
  const pathLength = inside.peek() === TAG.integer ? inside.smallInteger() : undefined;
  inside.finish();
  return { ca, pathLength };
}

export function encodeSubjectKeyId(keyId: Uint8Array): Buffer {
  return encodeExtension(OID.subjectKeyId, false, der(TAG.octetString, keyId));
}

export function readSubjectKeyId(value: Buffer): Buffer {
  const whole = new DerReader(value);
  const keyId = whole.read(TAG.octetString);
  whole.finish();
  return keyId;
}

export function encodeAuthorityKeyId(keyId: Uint8Array): Buffer {
  return encodeExtension(OID.authorityKeyId, false, sequence(der(KEY_ID_TAG, keyId)));
}

/** The key identifier; `undefined` when the extension names its issuer another way. */
export function readAuthorityKeyId(value: Buffer): Buffer | undefined {
  const whole = new DerReader(value);
  const inside = whole.enter(TAG.sequence);
  whole.finish();
  return inside.peek() === KEY_ID_TAG ? inside.read(KEY_ID_TAG) : undefined;
}

/** A SubjectAltName with one URI. */
export function encodeUriName(uri: string): Buffer {
  return encodeExtension(OID.subjectAltName, false, sequence(der(URI_TAG, Buffer.from(uri, 'latin1'))));
}

/** A SubjectAltName with host names and IP addresses. */
export function encodeHostNames(dns: readonly string[], ips: readonly string[]): Buffer {
  const names = [
    ...dns.map((name) => der(DNS_TAG, Buffer.from(name, 'latin1'))),
    ...ips.map((ip) => der(IP_TAG, ipBytes(ip))),
  ];
  return encodeExtension(OID.subjectAltName, false, sequence(...names));
}

/** NameConstraints (RFC 5280, 4.2.1.10): host names below must be one of `permitted` or end in one of them. */
export function encodePermittedDomains(permitted: readonly string[]): Buffer {
  const subtrees = permitted.map((name) => sequence(der(DNS_TAG, Buffer.from(name, 'latin1'))));
  return encodeExtension(OID.nameConstraints, true, sequence(der(contextTag(0), Buffer.concat(subtrees))));
}

/**
 * NameConstraints for URIs: those below must be of this host. They match hosts alone, never paths (RFC 5280, 4.2.1.10).
 * Not critical, against the letter of the RFC: verifiers that know them enforce them all the same (OpenSSL, BoringSSL,
 * Go), and sidecars of earlier versions, which do not, go on trusting the chain.
 */
export function encodePermittedUriHost(host: string): Buffer {
  const subtree = sequence(der(URI_TAG, Buffer.from(host, 'latin1')));
  return encodeExtension(OID.nameConstraints, false, sequence(der(contextTag(0), subtree)));
}

/** What a CA certificate permits below it. */
export interface NameConstraints {
  /** Absent: any host name. */
  readonly dns?: readonly string[];
  /** Hosts of URIs; absent: any. */
  readonly uriHosts?: readonly string[];
  /** True when it also constrains in ways that are not understood here. */
  readonly more: boolean;
}

export function readNameConstraints(value: Buffer): NameConstraints {
  const whole = new DerReader(value);
  const inside = whole.enter(TAG.sequence);
  whole.finish();
  const dns: string[] = [];
  const uriHosts: string[] = [];
  let more = false;
  if (inside.peek() === contextTag(0)) {
    const subtrees = inside.enter(contextTag(0));
    while (!subtrees.done) {
      const subtree = subtrees.enter(TAG.sequence);
      const tag = subtree.peek();
      const text = subtree.read(tag).toString('latin1').toLowerCase();
      if (tag === DNS_TAG) dns.push(text);
      else if (tag === URI_TAG) uriHosts.push(text);
      if ((tag !== DNS_TAG && tag !== URI_TAG) || !subtree.done) more = true;
    }
  }
  if (!inside.done) more = true; // excluded subtrees
  return { more, ...(dns.length === 0 ? {} : { dns }), ...(uriHosts.length === 0 ? {} : { uriHosts }) };
}

/** 4 or 16 octets. */
function ipBytes(ip: string): Buffer {
  if (isIPv4(ip)) return Buffer.from(ip.split('.').map(Number));
  if (!isIPv6(ip)) throw malformed(`no IP address: ${JSON.stringify(ip)}`);
  // without zones and dotted parts
  const [head = '', tail] = new URL(`http://[${ip}]`).hostname.slice(1, -1).split('::');
  const words = (text: string | undefined): string[] => (text ? text.split(':') : []);
  const [first, last] = [words(head), words(tail)];
  const all = [...first, ...Array<string>(8 - first.length - last.length).fill('0'), ...last];
  return Buffer.from(all.map((word) => word.padStart(4, '0')).join(''), 'hex');
}

export interface AltNames {
  readonly uris: readonly string[];
  /** Host names, as written. */
  readonly dns: readonly string[];
  /** Names that are not URIs. */
  readonly others: number;
}

/** The names of a SubjectAltName. */
export function readAltNames(value: Buffer): AltNames {
  const whole = new DerReader(value);
  const names = whole.enter(TAG.sequence);
  whole.finish();
  const uris: string[] = [];
  const dns: string[] = [];
  let others = 0;
  if (names.done) throw malformed('an empty list of names');
  while (!names.done) {
    const tag = names.peek();
    if (tag < 0x80 || (tag & 0x1f) > 8) throw malformed('a name of an unknown kind');
    const bytes = names.read(tag);
    if (tag === DNS_TAG) dns.push(bytes.toString('latin1'));
    if (tag !== URI_TAG) others += 1;
    else if (bytes.some((byte) => byte < 0x20 || byte > 0x7e)) throw malformed('a URI');
    else uris.push(bytes.toString('latin1'));
  }
  return { uris, dns, others };
}
