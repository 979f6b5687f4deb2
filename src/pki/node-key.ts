import { createHash, type KeyObject, randomBytes, sign, verify } from 'node:crypto';
import { generateLeafKey, privateKeyFromPem, privateKeyToPem, publicKeyFromSpki, spkiOf } from './keys.ts';

/** Who an agent says it is, and what it was challenged with. */
export interface NodeClaim {
  readonly datacenter: string;
  readonly node: string;
  readonly nodeId: string;
  readonly nonce: Uint8Array;
}

/** The key that a node is bound to: its agent proves at every session that it holds it. */
export interface NodeKey {
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKey: Uint8Array;
  prove(claim: NodeClaim): Uint8Array;
}

/** Octets of a challenge. */
const NONCE_LENGTH = 32;
/** A P-256 key has 91 octets, its signature at most 72. */
const MAX_KEY = 128;
const MAX_SIGNATURE = 128;

/** A new key, PEM. */
export function generateNodeKey(): string {
  return privateKeyToPem(generateLeafKey());
}

/** Throws `invalid_argument` when it is none. */
export function readNodeKey(pem: string): NodeKey {
  const key = privateKeyFromPem(pem);
  return { publicKey: spkiOf(key), prove: (claim) => sign('sha256', signed(claim), key) };
}

export function newChallenge(): Uint8Array {
  return randomBytes(NONCE_LENGTH);
}

/** What a node's row keeps of its key: the SHA-256, in hex. */
export function nodeKeyId(publicKey: Uint8Array): string {
  return createHash('sha256').update(publicKey).digest('hex');
}

/** True when whoever made the claim holds the key. Never throws, whatever it is given. */
export function isProven(publicKey: Uint8Array, claim: NodeClaim, signature: Uint8Array): boolean {
  if (publicKey.length > MAX_KEY || signature.length > MAX_SIGNATURE) return false;
  try {
    const key: KeyObject = publicKeyFromSpki(Buffer.from(publicKey));
    return key.asymmetricKeyType === 'ec' && verify('sha256', signed(claim), key, signature);
  } catch {
    return false;
  }
}

/** No part can run into another one. */
function signed({ datacenter, node, nodeId, nonce }: NodeClaim): Buffer {
  return Buffer.from(
    JSON.stringify(['isthmus node session 1', datacenter, node, nodeId, Buffer.from(nonce).toString('hex')]),
  );
}
