import { DerReader, der, oid, sequence, TAG } from './der.ts';
import { OID } from './oids.ts';

/** An X.501 name with one common name, encoded. The text is ASCII of PrintableString's set. */
export function encodeName(commonName: string): Buffer {
  if (commonName === '') return sequence();
  return sequence(
    der(TAG.set, sequence(oid(OID.commonName), der(TAG.printableString, Buffer.from(commonName, 'latin1')))),
  );
}

/** The last common name of an encoded name, '' when there is none. Throws for what is not a name. */
export function commonNameOf(name: Buffer): string {
  const whole = new DerReader(name);
  const parts = whole.enter(TAG.sequence);
  whole.finish();
  let found = '';
  while (!parts.done) {
    const set = parts.enter(TAG.set);
    do {
      const attribute = set.enter(TAG.sequence);
      const type = attribute.oid();
      const value = attribute.read(attribute.peek());
      attribute.finish();
      if (type === OID.commonName) found = value.toString('utf8');
    } while (!set.done);
  }
  return found;
}

/** An X.501 common name holds at most 64 characters (RFC 5280, ub-common-name). */
const MAX_COMMON_NAME = 64;

/**
 * Common name of a leaf: `<service>.svc.default.<first 8 of trust domain>.consul`. It is only for people: what is no
 * host name character is left out, what is too long is cut.
 */
export function leafCommonName(service: string, trustDomain: string): string {
  return label(service, `.svc.default.${trustDomain.slice(0, 8)}.consul`);
}

export function agentCommonName(node: string, trustDomain: string): string {
  return label(node, `.agent.client.default.${trustDomain.slice(0, 8)}.consul`);
}

/** Common name of a CA certificate: `pri-<id>.consul.ca.<first 8 of trust domain>.consul`; `sec-` in secondaries. */
export function caCommonName(prefix: 'pri' | 'sec', id: string, trustDomain: string): string {
  return `${prefix}-${id}.consul.ca.${trustDomain.slice(0, 8)}.consul`;
}

function label(name: string, suffix: string): string {
  const clean = name.toLowerCase().replace(/[^a-z0-9-]/g, '');
  return clean.slice(0, MAX_COMMON_NAME - suffix.length) + suffix;
}
