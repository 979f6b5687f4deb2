import { createHash } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import { IsthmusError } from '../../lib/errors.ts';
import { type ServiceIdentity, tryParseSpiffe } from '../../model/spiffe.ts';
import { type Certificate, parseCertificateDer } from '../../pki/certificate.ts';
import { verifyChain } from '../../pki/chain.ts';
import type { RefusalReason } from '../refusals.ts';
import type { Trust } from './trust.ts';

/** What peers are checked against. */
export type PeerTrust = Pick<Trust, 'trustDomain' | 'roots'>;

/** Who is at the other end, read from a certificate. One object for each certificate and address while remembered. */
export interface Peer {
  readonly uri: string;
  readonly identity: ServiceIdentity;
  readonly notAfter: number;
  /** IP address it was seen at. */
  readonly address: string;
  /** The leaf and what came with it. */
  readonly chain: readonly Certificate[];
}

/**
 * A certificate as Node hands it over, of either of its kinds: with those that were shown above it. Once Node 20 has
 * made one kind, the other one holds no more than the leaf, so only one is ever asked for.
 */
export interface ShownCertificate {
  readonly raw: Buffer;
  readonly issuerCertificate?: ShownCertificate | undefined;
}

/** The peer's certificate is none that the mesh accepts. */
export class PeerRefused extends IsthmusError {
  readonly reason: RefusalReason;
  /** What the certificate says it is, when it could be read. */
  readonly uri: string | undefined;

  constructor(reason: RefusalReason, message: string, uri?: string) {
    super('permission_denied', message);
    this.reason = reason;
    this.uri = uri;
  }
}

/** Certificates remembered. */
const MAX_CACHED = 2_048;
/** Certificates above the leaf that are looked at. */
const MAX_CHAIN = 6;
const NAMESPACE = 'default';

/** Reads peers; TLS has verified the chain before. Each certificate is parsed once. */
export class PeerReader {
  readonly #peers = new Map<string, Peer>();
  /** The newest certificate seen of each identity and address. */
  readonly #newest = new Map<string, Peer>();

  /** After a handshake on the accepting side, where TLS is configured not to decide by itself. */
  ofAccepted(socket: TLSSocket, trust: PeerTrust, at: number): Peer {
    const certificate = socket.getPeerX509Certificate();
    if (certificate === undefined) throw new PeerRefused('no_certificate', 'the client sent no certificate');
    if (!socket.authorized) throw this.#unauthorized(socket, certificate.raw);
    const { remoteAddress = '' } = socket;
    return this.#read(certificate, trust, at, remoteAddress);
  }

  /** Inside the dialling side's identity check. */
  ofDialled(certificate: ShownCertificate, trust: PeerTrust, at: number, address: string): Peer {
    return this.#read(certificate, trust, at, address);
  }

  /**
   * Whether `peer` is trusted under `roots`: by its own certificate, or because the same identity has shown a newer one
   * from the same address since, as a sidecar does when its certificate is replaced. So a rotation's end closes
   * nothing of those who took part in it.
   */
  isTrusted(peer: Peer, roots: readonly Certificate[], at: number): boolean {
    if (isTrusted(peer, roots, at)) return true;
    const newest = this.#newest.get(nameOf(peer));
    return newest !== undefined && newest !== peer && isTrusted(newest, roots, at);
  }

  #read(shown: ShownCertificate, trust: PeerTrust, at: number, address: string): Peer {
    const key = `${createHash('sha256').update(shown.raw).digest('base64')} ${address}`;
    let peer = this.#peers.get(key);
    if (peer === undefined) {
      peer = readPeer(shown, address);
      checkTrustDomain(peer, trust);
      checkIssuers(peer, trust, at);
      remember(this.#peers, key, peer);
    }
    checkTrustDomain(peer, trust);
    if (this.#newest.get(nameOf(peer)) !== peer) remember(this.#newest, nameOf(peer), peer);
    return peer;
  }

  #unauthorized(socket: TLSSocket, raw: Buffer): PeerRefused {
    // Node's types call it an Error; on the accepting side it is the verifier's code.
    const code = String(socket.authorizationError);
    let uri: string | undefined;
    try {
      [uri] = parseCertificateDer(raw).uris;
    } catch {
      uri = undefined; // it only serves the log
    }
    return new PeerRefused(verificationReason(code), `the certificate does not verify: ${code}`, uri);
  }
}

export function verificationReason(code: string): RefusalReason {
  if (code === 'CERT_HAS_EXPIRED') return 'expired';
  if (code === 'CERT_NOT_YET_VALID') return 'not_yet_valid';
  return 'untrusted';
}

/** Whether the other side's chain still ends in one of `roots`. */
export function isTrusted(peer: Peer, roots: readonly Certificate[], at: number): boolean {
  try {
    verifyChain(peer.chain, roots, Math.min(at, peer.notAfter)); // an open connection may outlive its certificate
    return true;
  } catch {
    return false;
  }
}

function checkTrustDomain(peer: Peer, { trustDomain }: PeerTrust): void {
  if (peer.identity.trustDomain !== trustDomain)
    throw new PeerRefused('wrong_trust_domain', 'the certificate is of another trust domain', peer.uri);
}

/**
 * TLS has verified the chain but does not know that an intermediate may sign for its own datacenter alone. Only who has
 * signed what it may is remembered.
 */
function checkIssuers(peer: Peer, { roots }: PeerTrust, at: number): void {
  try {
    verifyChain(peer.chain, roots, Math.min(at, peer.notAfter));
  } catch (error) {
    throw new PeerRefused('untrusted', IsthmusError.from(error).message, peer.uri);
  }
}

function nameOf(peer: Peer): string {
  return `${peer.uri} ${peer.address}`;
}

function remember(peers: Map<string, Peer>, key: string, peer: Peer): void {
  peers.delete(key);
  const [oldest] = peers.size >= MAX_CACHED ? peers.keys() : [];
  if (oldest !== undefined) peers.delete(oldest);
  peers.set(key, peer);
}

function readPeer(shown: ShownCertificate, address: string): Peer {
  let leaf: Certificate;
  try {
    leaf = parseCertificateDer(Buffer.from(shown.raw));
  } catch (error) {
    throw new PeerRefused('bad_identity', `the certificate cannot be read: ${IsthmusError.from(error).message}`);
  }
  const [uri] = leaf.uris;
  if (leaf.uris.length !== 1 || uri === undefined)
    throw new PeerRefused('bad_identity', 'the certificate does not hold exactly one URI', uri);
  const identity = tryParseSpiffe(uri);
  if (identity?.kind !== 'service' || identity.namespace !== NAMESPACE)
    throw new PeerRefused('bad_identity', 'the certificate is not that of a service', uri);
  const chain = [leaf];
  let above = shown.issuerCertificate;
  for (let n = 0; n < MAX_CHAIN && above?.raw !== undefined; n += 1) {
    const { raw: der } = above;
    if (chain.some((known) => known.der.equals(der))) break; // a root is its own issuer
    try {
      chain.push(parseCertificateDer(Buffer.from(der)));
    } catch {
      break; // what is left does not verify, unless it needs no more
    }
    above = above.issuerCertificate;
  }
  return { uri, identity, notAfter: leaf.notAfter, address, chain };
}
