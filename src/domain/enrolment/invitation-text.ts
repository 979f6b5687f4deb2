import { createHash } from 'node:crypto';
import { IsthmusError } from '../../lib/errors.ts';
import type { InvitationKind } from '../../model/transport.ts';

/** What an invitation says to the one who holds it. */
export interface Invitation {
  readonly kind: InvitationKind;
  /** The datacenter that invites. */
  readonly datacenter: string;
  /** Of the names of servers. */
  readonly domain: string;
  /** host:port of servers that answer it. */
  readonly addresses: readonly string[];
  /** SHA-256 of the root certificate, hexadecimal: who shows another is not the one who invited. */
  readonly fingerprint: string;
  readonly secret: string;
  /** Milliseconds since 1970, by the clock of the one who invited. */
  readonly expiresAt: number;
}

const PREFIX = 'isthmus-invitation-v1';
const ANY_VERSION = /^isthmus-invitation-v(\d{1,4})\./;
/** A longer text is no invitation, characters. */
const MAX_TEXT = 8_192;
const MAX_ADDRESSES = 32;

/**
 * One line: version, contents and checksum, separated by dots. The checksum finds what was cut or mistyped; it is no
 * protection, and none is needed: who changes the fingerprint or the addresses learns nothing, as the secret is good
 * for the true primary alone.
 */
export function formatInvitation(invitation: Invitation): string {
  const { kind, datacenter, domain, addresses, fingerprint, secret, expiresAt } = invitation;
  const contents = { k: kind, d: datacenter, n: domain, a: addresses, f: fingerprint, s: secret, e: expiresAt };
  const body = `${PREFIX}.${Buffer.from(JSON.stringify(contents)).toString('base64url')}`;
  return `${body}.${checksum(body)}`;
}

/** Throws `invalid_argument` with what is wrong and without any of the text. */
export function parseInvitation(text: string): Invitation {
  if (text.length > MAX_TEXT) throw broken('it is too long');
  const line = text.trim();
  const version = ANY_VERSION.exec(line)?.[1];
  if (version === undefined) throw broken('it does not begin as one');
  if (version !== '1') throw broken(`it is of version ${version}, which this program does not know: upgrade it`);
  const [prefix = '', contents = '', sum = '', ...more] = line.split('.');
  if (more.length > 0 || sum !== checksum(`${prefix}.${contents}`))
    throw broken('it was changed or cut on its way: take it over as a whole');
  return decode(contents);
}

function decode(contents: string): Invitation {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(contents, 'base64url').toString('utf8'));
  } catch {
    throw broken('its contents are not readable');
  }
  const { k, d, n, a, f, s, e } = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>;
  const isText = (part: unknown): part is string => typeof part === 'string' && part.length > 0 && part.length <= 255;
  if (
    (k !== 'datacenter' && k !== 'agent') ||
    !isText(d) ||
    !isText(n) ||
    !isText(s) ||
    typeof f !== 'string' ||
    !/^[0-9a-f]{64}$/.test(f) ||
    !Number.isSafeInteger(e) ||
    !Array.isArray(a) ||
    a.length === 0 ||
    a.length > MAX_ADDRESSES ||
    !a.every(isText)
  )
    throw broken('its contents are not complete');
  return { kind: k, datacenter: d, domain: n, addresses: a, fingerprint: f, secret: s, expiresAt: e as number };
}

/** SHA-256 of a secret, hexadecimal: what is kept of it. */
export function hashOfSecret(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}

function checksum(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 8);
}

function broken(why: string): IsthmusError {
  return new IsthmusError('invalid_argument', `this is no invitation: ${why}`);
}
