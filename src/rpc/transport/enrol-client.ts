import type { X509Certificate } from 'node:crypto';
import { connect as connectTcp } from 'node:net';
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls';
import type { Clock } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import type { TlsMaterial } from '../../pki/tls-material.ts';
import { asReply, ENROL_ALPN, type EnrolReply, type EnrolRequest, readLine, toLine } from './enrol-wire.ts';
import { serverDatacenters } from './tls.ts';
import { describeHandshake, describeVerification } from './verify-error.ts';

/** Whom to ask, and how to know that it is the right one. */
export interface EnrolTarget {
  /** host:port */
  readonly address: string;
  /** The datacenter whose server must answer. */
  readonly datacenter: string;
  readonly domain: string;
}

/** Time for a handshake, and for an answer, milliseconds. */
const LIMIT_MS = 10_000;
/** Certificates of a chain that are looked at. */
const MAX_CHAIN = 8;

/**
 * Uses an invitation. A first connection, on which nothing is said, finds the root certificate that the fingerprint
 * belongs to; the request goes over a second one, which trusts that root alone.
 * @param fingerprint SHA-256 of the root, hexadecimal
 */
export async function enrolWithFingerprint(
  target: EnrolTarget,
  fingerprint: string,
  request: EnrolRequest,
  clock: Clock,
): Promise<EnrolReply> {
  const root = await findRoot(target, fingerprint, clock);
  const reply = await ask(target, { ca: root, minVersion: 'TLSv1.2' }, request, clock);
  return { ...reply, root }; // what was checked, whatever the other side says
}

/** Asks as the one whose certificate is given. */
export function enrolWithCertificate(
  target: EnrolTarget,
  material: TlsMaterial,
  request: EnrolRequest,
  clock: Clock,
): Promise<EnrolReply> {
  return ask(target, { secureContext: material.context }, request, clock);
}

async function findRoot(target: EnrolTarget, fingerprint: string, clock: Clock): Promise<string> {
  const socket = await dial(target, {}, clock);
  try {
    let certificate = socket.getPeerX509Certificate();
    for (let n = 0; n < MAX_CHAIN && certificate !== undefined; n += 1) {
      if (fingerprintOf(certificate) === fingerprint) return certificate.toString();
      certificate = certificate.issuerCertificate;
    }
  } finally {
    socket.destroy();
  }
  throw new IsthmusError(
    'unauthenticated',
    `${target.address} does not belong to the authority that the invitation names: is the address right, and does ` +
      `nobody stand between?`,
  );
}

async function ask(
  target: EnrolTarget,
  options: ConnectionOptions,
  request: EnrolRequest,
  clock: Clock,
): Promise<EnrolReply> {
  const { address, datacenter, domain } = target;
  const socket = await dial(target, options, clock);
  try {
    const certificate = socket.getPeerCertificate();
    if (!socket.authorized) {
      const error: unknown = socket.authorizationError;
      const code = error instanceof Error ? ((error as NodeJS.ErrnoException).code ?? error.message) : String(error);
      throw new IsthmusError('unauthenticated', `${address}: ${describeVerification(code, certificate)}`);
    }
    if (!serverDatacenters(certificate, domain).includes(datacenter))
      throw new IsthmusError(
        'unauthenticated',
        `${address}: its certificate (${certificate.subjectaltname}) is not that of a server of "${datacenter}"`,
      );
    socket.write(toLine(request));
    return asReply(await readLine(socket, clock, LIMIT_MS));
  } finally {
    socket.destroy();
  }
}

/** A TLS connection to whoever answers there; who that is, the caller decides. */
async function dial({ address }: EnrolTarget, options: ConnectionOptions, clock: Clock): Promise<TLSSocket> {
  const colon = address.lastIndexOf(':');
  const host = address.slice(0, colon).replace(/^\[|\]$/g, '');
  const raw = connectTcp({ host, port: Number(address.slice(colon + 1)), noDelay: true });
  const socket = connectTls({
    ...options,
    socket: raw,
    rejectUnauthorized: false,
    checkServerIdentity: () => undefined,
    ALPNProtocols: [ENROL_ALPN],
  });
  await new Promise<void>((resolve, reject) => {
    const fail = (text: string, cause?: Error): void => {
      timer.cancel();
      socket.destroy();
      raw.destroy();
      reject(new IsthmusError('unavailable', `${address}: ${text}`, cause === undefined ? {} : { cause }));
    };
    const timer = clock.after(LIMIT_MS, () => fail(`no answer within ${LIMIT_MS} ms`));
    raw.once('error', (cause) => fail(cause.message, cause));
    socket.once('error', (cause) => fail(describeHandshake(cause), cause));
    socket.once('secureConnect', () => {
      timer.cancel();
      if (socket.alpnProtocol === ENROL_ALPN) resolve();
      else fail('it gives no certificates: is it a server whose certificates Isthmus manages?');
    });
  });
  socket.on('error', () => undefined); // whoever reads sees the end
  raw.on('error', () => undefined);
  return socket;
}

function fingerprintOf(certificate: X509Certificate): string {
  return certificate.fingerprint256.replaceAll(':', '').toLowerCase();
}
